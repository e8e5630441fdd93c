#include "server/engine/batcher.h"

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/requests.h"

namespace midlayer {
namespace {

using testing::ElementsAre;

absl::Time Epoch() { return Second(0); }

std::vector<size_t> TextsOf(const std::optional<Work>& work) {
  std::vector<size_t> texts;
  if (work.has_value()) {
    for (const Row& row : work->batch.rows) texts.push_back(row.text);
  }
  return texts;
}

// Until what another thread is about to do has happened; a case that never gets there runs into ctest's time limit.
template <typename Condition>
void Until(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

class BatcherTest : public testing::Test {
 protected:
  ~BatcherTest() override { batcher_.Close(); }

  void Push(size_t text, int tokens) { batcher_.Push({RowOf(tracked_.request, tokens, text)}); }

  const Tracked tracked_ = Track(TaskOf(1000));
  Batcher batcher_{10, Epoch};
};

TEST_F(BatcherTest, AnIdleRunnerGetsASingleRowAtOnce) {
  std::future<std::optional<Work>> next = std::async(std::launch::async, [this] { return batcher_.Next(0); });
  Push(7, 1);
  const std::optional<Work> work = next.get();
  EXPECT_THAT(TextsOf(work), ElementsAre(7));
  EXPECT_EQ(work->batch.assembled, Epoch());
  EXPECT_EQ(batcher_.waiting_rows(), 0);
  EXPECT_EQ(batcher_.waiting_tokens(), 0);
}

// Whoever came first.
TEST_F(BatcherTest, OfFreeRunnersTheFirstGetsTheWork) {
  for (const bool is_background : {false, true}) {
    std::vector<std::future<std::optional<Work>>> works(3);
    for (size_t runner : {2, 0, 1}) {
      const size_t free = batcher_.free_runners();
      works[runner] =
          std::async(std::launch::async, [this, runner] { return batcher_.Next(static_cast<int>(runner)); });
      Until([&] { return batcher_.free_runners() == free + 1; });
    }
    for (size_t runner = 0; runner < 3; ++runner) {
      EXPECT_EQ(batcher_.free_runners(), 3 - runner);
      if (is_background) {
        batcher_.PushBackground([](int) {});
      } else {
        Push(runner, 1);
      }
      const std::optional<Work> work = works[runner].get();
      ASSERT_TRUE(work.has_value());
      EXPECT_EQ(work->background != nullptr, is_background);
      EXPECT_EQ(work->batch.rows.size(), is_background ? 0u : 1u);
    }
  }
}

// Many rounds, because the mistake would be a race: taking row 1 before row 2 is there.
TEST_F(BatcherTest, RowsThatArriveWhileTheRunnerWorksShareABatch) {
  for (int round = 0; round < 300; ++round) {
    Push(0, 1);
    ASSERT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(0));
    Push(1, 1);
    ASSERT_EQ(batcher_.waiting_rows(), 1) << "assembled while less than a batch waits, round " << round;
    Push(2, 2);
    std::this_thread::yield();
    Push(3, 6);
    ASSERT_EQ(batcher_.waiting_rows(), 3) << "round " << round;
    ASSERT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(1, 2, 3)) << "round " << round;
  }
}

// Background work, that adds `name` to `done` ("-name" where it is not to run).
BackgroundWork Noting(std::vector<std::string>* done, const std::string& name) {
  return [done, name](int runner) { done->push_back(runner == kNotRun ? "-" + name : name); };
}

TEST_F(BatcherTest, BackgroundWorkRunsWhereNoRowsWait) {
  std::vector<std::string> done;
  batcher_.PushBackground(Noting(&done, "first"));
  batcher_.PushBackground(Noting(&done, "second"));
  Push(1, 1);
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(1)) << "rows go before it";
  batcher_.Next(0)->background(0);
  Push(2, 1);
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(2));
  batcher_.Next(0)->background(0);
  EXPECT_THAT(done, ElementsAre("first", "second"));
}

TEST_F(BatcherTest, BackgroundWorkThatIsDueGoesBeforeRows) {
  std::vector<std::string> done;
  Push(1, 1);
  batcher_.PushBackground(Noting(&done, "due"));
  batcher_.Next(0, /*background_is_due=*/true)->background(0);
  EXPECT_THAT(done, ElementsAre("due"));
  EXPECT_THAT(TextsOf(batcher_.Next(0, /*background_is_due=*/true)), ElementsAre(1)) << "none is left";
}

TEST_F(BatcherTest, InTheMidstOfBackgroundWorkTheRunnerGetsRowsOnlyWhereSomeWait) {
  EXPECT_FALSE(batcher_.NextIfWaiting(0).has_value());
  Push(1, 1);
  const std::optional<Batch> batch = batcher_.NextIfWaiting(0);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->rows[0].text, 1);
  EXPECT_FALSE(batcher_.NextIfWaiting(0).has_value());
  const Tracked ended = Track(TaskOf(1));
  batcher_.Push({RowOf(ended.request, 1)});
  ended.request->Cancel();
  EXPECT_FALSE(batcher_.NextIfWaiting(0).has_value()) << "rows of an ended request are none";
}

TEST_F(BatcherTest, CloseTellsBackgroundWorkThatItWillNotRun) {
  std::vector<std::string> done;
  batcher_.PushBackground(Noting(&done, "waiting"));
  batcher_.Close();
  batcher_.PushBackground(Noting(&done, "late"));
  EXPECT_THAT(done, ElementsAre("-waiting", "-late"));
  EXPECT_FALSE(batcher_.NextIfWaiting(0).has_value());
}

TEST_F(BatcherTest, AFullBatchIsAssembledWhileTheRunnerWorks) {
  Push(0, 1);
  ASSERT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(0));
  Push(1, 4);
  Push(2, 6);
  Until([this] { return batcher_.waiting_rows() == 0; });  // nobody is in Next()
  Push(3, 6);
  Push(4, 7);
  EXPECT_EQ(batcher_.waiting_rows(), 2) << "one batch ahead, not two";
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(1, 2));
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(3));
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(4));
}

TEST_F(BatcherTest, CloseEndsWhatWaitsWithUnavailable) {
  const Tracked interactive = Track(TaskOf(2));
  const Tracked bulk = Track(TaskOf(1, 1, Priority::kBulk));
  batcher_.Push({RowOf(interactive.request, 1, 0), RowOf(bulk.request, 1), RowOf(interactive.request, 1, 1)});
  batcher_.Close();
  EXPECT_EQ(interactive.outcome->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(bulk.outcome->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(batcher_.Next(0).has_value());
  EXPECT_FALSE(batcher_.Next(0).has_value());
  const Tracked late = Track(TaskOf(1));
  batcher_.Push({RowOf(late.request, 1)});
  EXPECT_EQ(late.outcome->times(), 1);
  EXPECT_EQ(late.outcome->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(batcher_.waiting_rows(), 0);
}

TEST_F(BatcherTest, CloseEndsTheBatchThatWasAssembledAhead) {
  Push(0, 10);
  Until([this] { return batcher_.waiting_rows() == 0; });
  batcher_.Close();
  EXPECT_FALSE(batcher_.Next(0).has_value());
  EXPECT_EQ(tracked_.outcome->status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(BatcherTest, CloseWakesTheRunner) {
  std::future<std::optional<Work>> next = std::async(std::launch::async, [this] { return batcher_.Next(0); });
  batcher_.Close();
  EXPECT_FALSE(next.get().has_value());
}

TEST_F(BatcherTest, BatchesOfEndedRowsAreNotHandedOut) {
  const Tracked ended = Track(TaskOf(1));
  batcher_.Push({RowOf(ended.request, 1)});
  ended.request->Cancel();
  std::future<std::optional<Work>> next = std::async(std::launch::async, [this] { return batcher_.Next(0); });
  Until([this] { return batcher_.waiting_rows() == 0; });
  Push(5, 1);
  EXPECT_THAT(TextsOf(next.get()), ElementsAre(5));
}

// Two requests end while their rows lie in a batch that is ready: one by its caller, one by its deadline.
TEST(BatcherReadyTest, RowsThatEndedMeanwhileAreLeftOut) {
  std::atomic<int> now = 10;
  Batcher batcher(10, [&now] { return Second(now); });
  EmbedTask task = TaskOf(1);
  const Tracked cancelled = Track(task), wanted = Track(task);
  task.deadline = Second(20);
  const Tracked late = Track(task);
  batcher.Push({RowOf(cancelled.request, 2, 0), RowOf(wanted.request, 3, 1), RowOf(late.request, 5, 2)});
  Until([&] { return batcher.waiting_rows() == 0; });
  cancelled.request->Cancel();
  now = 20;
  const std::optional<Work> work = batcher.Next(0);
  EXPECT_THAT(TextsOf(work), ElementsAre(1));
  EXPECT_THAT(work->batch.packed.offsets, ElementsAre(0, 3)) << "packed anew";
  EXPECT_EQ(work->batch.assembled, Second(10));
  EXPECT_EQ(late.outcome->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(wanted.outcome->times(), 0);
  batcher.Close();
}

TEST_F(BatcherTest, AReadyBatchOfWhichNothingIsLeftIsSkipped) {
  const Tracked ended = Track(TaskOf(1));
  batcher_.Push({RowOf(ended.request, 10)});
  Until([this] { return batcher_.waiting_rows() == 0; });
  ended.request->Cancel();
  Push(5, 1);
  EXPECT_THAT(TextsOf(batcher_.Next(0)), ElementsAre(5));
}

TEST(BatcherChangeTest, TellsHowMuchWaits) {
  std::vector<std::pair<int64_t, int64_t>> told;  // guarded by the batcher's own lock, read when nothing moves
  Batcher batcher(100, Epoch, [&told](int64_t rows, int64_t tokens) { told.emplace_back(rows, tokens); });
  const Tracked tracked = Track(TaskOf(3));
  batcher.Push({RowOf(tracked.request, 4, 0), RowOf(tracked.request, 5, 1)});
  batcher.Push({RowOf(tracked.request, 6, 2)});
  EXPECT_EQ(batcher.Next(0)->batch.packed.rows(), 3);
  batcher.Close();
  ASSERT_GE(told.size(), 3u);
  EXPECT_EQ(told[0], (std::pair<int64_t, int64_t>(2, 9)));
  EXPECT_EQ(told[1], (std::pair<int64_t, int64_t>(3, 15)));
  EXPECT_EQ(told[2], (std::pair<int64_t, int64_t>(0, 0)));
}

TEST(BatcherClockTest, DeadlinesAreComparedWithTheGivenClock) {
  Batcher batcher(10, [] { return Second(50); });
  EmbedTask task = TaskOf(1);
  task.deadline = Second(50);
  const Tracked late = Track(task);
  task.deadline = Second(51);
  const Tracked alive = Track(task);
  batcher.Push({RowOf(late.request, 1, 0, Second(40)), RowOf(alive.request, 1, 1)});
  EXPECT_THAT(TextsOf(batcher.Next(0)), ElementsAre(1));
  EXPECT_EQ(late.outcome->status().code(), absl::StatusCode::kDeadlineExceeded);
  batcher.Close();
}

TEST(BatcherThreadsTest, ConcurrentPushesLoseNothingAndKeepTheirOrder) {
  constexpr int kThreads = 4, kRows = 500;
  std::vector<Tracked> requests;
  std::map<const Request*, std::vector<size_t>> received;
  for (int t = 0; t < kThreads; ++t) requests.push_back(Track(TaskOf(kRows)));
  Batcher batcher(50, Epoch);
  std::vector<std::thread> threads;
  for (const Tracked& tracked : requests) {
    threads.emplace_back([&batcher, &tracked] {
      for (size_t text = 0; text < kRows; ++text) batcher.Push({RowOf(tracked.request, 3, text)});
    });
  }
  for (int rows = 0; rows < kThreads * kRows;) {
    const std::optional<Work> work = batcher.Next(0);
    ASSERT_TRUE(work.has_value());
    ASSERT_LE(work->batch.packed.tokens(), 50);
    for (const Row& row : work->batch.rows) received[row.request.get()].push_back(row.text);
    rows += static_cast<int>(work->batch.rows.size());
  }
  for (std::thread& thread : threads) thread.join();
  batcher.Close();
  for (const Tracked& tracked : requests) {
    const std::vector<size_t>& texts = received[tracked.request.get()];
    ASSERT_EQ(texts.size(), static_cast<size_t>(kRows));
    for (size_t i = 0; i < texts.size(); ++i) ASSERT_EQ(texts[i], i);
  }
}

// Whatever stands where when Close() comes: every request ends, once.
TEST(BatcherThreadsTest, CloseAtAnyMomentEndsEveryRequest) {
  for (int round = 0; round < 500; ++round) {
    std::vector<Tracked> requests;
    for (int i = 0; i < 20; ++i) requests.push_back(Track(TaskOf(1)));
    {
      Batcher batcher(6, Epoch);
      std::thread pusher([&] {
        for (const Tracked& tracked : requests) batcher.Push({RowOf(tracked.request, 3)});
      });
      std::thread runner([&] {
        while (const std::optional<Work> work = batcher.Next(0)) {
          for (const Row& row : work->batch.rows) {
            row.request->Deliver(row.text, {{1}}, absl::ZeroDuration(), absl::ZeroDuration());
          }
        }
      });
      Until([&] { return requests[static_cast<size_t>(round % 15)].outcome->times() > 0; });
      batcher.Close();
      runner.join();
      pusher.join();
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_EQ(requests[i].outcome->times(), 1) << "round " << round << ", request " << i;
      const absl::Status status = requests[i].outcome->status();
      ASSERT_TRUE(status.ok() || status.code() == absl::StatusCode::kUnavailable) << status;
    }
  }
}

}  // namespace
}  // namespace midlayer
