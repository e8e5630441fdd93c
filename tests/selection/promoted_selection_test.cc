#include "server/selection/promoted_selection.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/selection/memory_store.h"
#include "tests/selection/records.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using State = PromotedSelection::State;
using Snapshot = PromotedSelection::Snapshot;

constexpr absl::Duration kNever = absl::Hours(1);

// A store in memory that can be down, and that can keep its changes to itself.
class FlakyStore : public MemoryStore {
 public:
  absl::StatusOr<SelectionRecord> Get(std::string_view id) override {
    if (down) return absl::UnavailableError("the store is down");
    if (before_get) std::exchange(before_get, nullptr)();
    return MemoryStore::Get(id);
  }
  absl::StatusOr<std::string> Promoted() override {
    ++readings;
    if (down) return absl::UnavailableError("the store is down");
    return MemoryStore::Promoted();
  }
  void WaitForChange(absl::Duration timeout) override {
    if (!quiet) return MemoryStore::WaitForChange(timeout);
    wakeup_.Wait(-1, timeout);
  }
  void Interrupt() override {
    MemoryStore::Interrupt();
    wakeup_.Signal();
  }

  std::atomic<bool> down = false, quiet = false;
  std::atomic<int> readings = 0;
  std::function<void()> before_get;  // called once

 private:
  Wakeup wakeup_;
};

class PromotedSelectionTest : public testing::Test {
 protected:
  std::unique_ptr<PromotedSelection> Follow(absl::Duration poll_interval) {
    return std::make_unique<PromotedSelection>(
        &store_, PromotedSelection::Options{.poll_interval = poll_interval,
                                            .fingerprint_of_layer = [this](int layer) { return fingerprint_(layer); },
                                            .on_change =
                                                [this](const Snapshot& snapshot) {
                                                  std::lock_guard lock(mutex_);
                                                  changes_.push_back(snapshot);
                                                }});
  }

  std::string Promote(int number) {
    const SelectionRecord record = MakeRecord(number);
    EXPECT_TRUE(store_.Put(record, "").ok());
    EXPECT_TRUE(store_.Promote(record.id, std::nullopt).ok());
    return record.id;
  }

  std::vector<Snapshot> changes() {
    std::lock_guard lock(mutex_);
    return changes_;
  }

  FlakyStore store_;
  std::function<std::string(int)> fingerprint_ = FingerprintOf;

 private:
  std::mutex mutex_;
  std::vector<Snapshot> changes_;  // guarded by mutex_
};

TEST_F(PromotedSelectionTest, ReadsTheStoreFirst) {
  EXPECT_EQ(Follow(kNever)->Current()->state, State::kNone);
  Promote(1);
  const auto promoted = Follow(kNever);
  const auto current = promoted->Current();
  EXPECT_EQ(current->state, State::kKnown);
  EXPECT_EQ(current->record, MakeRecord(1));
  EXPECT_TRUE(current->store_up);
  EXPECT_EQ(current->problem, "");
}

TEST_F(PromotedSelectionTest, FollowsWhatTheStoreTells) {
  const auto promoted = Follow(kNever);
  for (int i = 0; i < 10; ++i) {
    const std::string id = Promote(i);
    EXPECT_TRUE(Eventually([&] { return promoted->Current()->record.id == id; }));
  }
  ASSERT_TRUE(store_.Promote("", std::nullopt).ok());
  EXPECT_TRUE(Eventually([&] { return promoted->Current()->state == State::kNone; }));
  EXPECT_EQ(promoted->Current()->record, SelectionRecord());
}

TEST_F(PromotedSelectionTest, PollsAStoreThatTellsNothing) {
  store_.quiet = true;
  const auto promoted = Follow(absl::Milliseconds(1));
  for (int i = 0; i < 10; ++i) {
    const std::string id = Promote(i);
    EXPECT_TRUE(Eventually([&] { return promoted->Current()->record.id == id; }));
  }
}

TEST_F(PromotedSelectionTest, RefreshIsAtOnce) {
  store_.quiet = true;
  const auto promoted = Follow(kNever);
  for (int i = 0; i < 10; ++i) {
    const std::string id = Promote(i);
    ASSERT_TRUE(promoted->Refresh().ok());
    EXPECT_EQ(promoted->Current()->record.id, id);
  }
}

TEST_F(PromotedSelectionTest, StoreIsDownFromTheStart) {
  store_.down = true;
  Promote(1);
  const auto promoted = Follow(absl::Milliseconds(1));
  const auto before = promoted->Current();
  EXPECT_EQ(before->state, State::kNeverKnown);
  EXPECT_FALSE(before->store_up);
  EXPECT_EQ(before->problem, "the store is down");
  EXPECT_EQ(promoted->Refresh().code(), absl::StatusCode::kUnavailable);
  store_.down = false;
  EXPECT_TRUE(Eventually([&] { return promoted->Current()->state == State::kKnown; }));
  EXPECT_TRUE(promoted->Current()->store_up);
  EXPECT_EQ(promoted->Current()->problem, "");
  EXPECT_EQ(before->state, State::kNeverKnown) << "a snapshot stays as it is";
}

TEST_F(PromotedSelectionTest, StoreGoesDown) {
  Promote(1);
  store_.quiet = true;
  const auto promoted = Follow(absl::Milliseconds(1));
  store_.down = true;
  Promote(2);
  ASSERT_TRUE(Eventually([&] { return !promoted->Current()->store_up; }));
  EXPECT_EQ(promoted->Current()->state, State::kKnown);
  EXPECT_EQ(promoted->Current()->record, MakeRecord(1));
  EXPECT_EQ(promoted->Current()->problem, "the store is down");
  store_.down = false;
  ASSERT_TRUE(Eventually([&] { return promoted->Current()->store_up; }));
  EXPECT_EQ(promoted->Current()->record, MakeRecord(2));
}

TEST_F(PromotedSelectionTest, SelectionOfAnotherModelIsNotUsed) {
  fingerprint_ = [](int layer) { return layer == 1 ? "another" : layer == 2 ? "" : FingerprintOf(layer); };
  store_.quiet = true;
  const auto promoted = Follow(kNever);
  const std::pair<int, const char*> cases[] = {{1, "expected fingerprint fingerprint of layer 1, found another"},
                                               {2, "found a model without this layer"}};
  for (const auto& [number, expected] : cases) {
    const std::string id = Promote(number);
    ASSERT_TRUE(promoted->Refresh().ok()) << "the store is right, the model is another";
    const auto current = promoted->Current();
    EXPECT_EQ(current->state, State::kUnusable);
    EXPECT_TRUE(current->store_up);
    EXPECT_EQ(current->record.id, id);
    EXPECT_THAT(current->problem, HasSubstr(expected));
    EXPECT_THAT(current->problem, HasSubstr(id));
    EXPECT_EQ(changes().back().state, State::kUnusable);
  }
  Promote(3);
  ASSERT_TRUE(promoted->Refresh().ok());
  EXPECT_EQ(promoted->Current()->state, State::kKnown);
  EXPECT_EQ(promoted->Current()->problem, "");
}

TEST_F(PromotedSelectionTest, TellsEachChangeOnce) {
  store_.quiet = true;
  const auto promoted = Follow(kNever);
  const auto refresh_often = [&] {
    for (int i = 0; i < 3; ++i) promoted->Refresh().IgnoreError();
  };
  refresh_often();
  Promote(1);
  refresh_often();
  store_.down = true;
  refresh_often();
  store_.down = false;
  refresh_often();
  Promote(2);
  refresh_often();
  std::vector<std::string> told;
  for (const Snapshot& snapshot : changes()) {
    told.push_back(absl::StrCat(static_cast<int>(snapshot.record.value), snapshot.store_up ? " up" : " down"));
  }
  EXPECT_THAT(told, ElementsAre("0 up", "1 up", "1 down", "1 up", "2 up"));
}

TEST_F(PromotedSelectionTest, DeletedBetweenTheStepsOfAReading) {
  store_.quiet = true;
  const std::string first = Promote(1);
  store_.before_get = [&] {
    Promote(2);
    EXPECT_TRUE(store_.Delete(first).ok());
  };
  EXPECT_EQ(Follow(kNever)->Current()->record, MakeRecord(2));
}

// As where somebody removes a file by hand.
TEST_F(PromotedSelectionTest, PromotedOneIsNotThere) {
  class Store : public FlakyStore {
    absl::StatusOr<std::string> Promoted() override { return MakeRecord(1).id; }
  };
  Store store;
  PromotedSelection promoted(&store,
                             {.poll_interval = kNever, .fingerprint_of_layer = FingerprintOf, .on_change = nullptr});
  EXPECT_EQ(promoted.Current()->state, State::kNeverKnown);
  EXPECT_EQ(promoted.Refresh().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(promoted.Current()->problem, HasSubstr(MakeRecord(1).id + ": not in the store"));
}

TEST_F(PromotedSelectionTest, ReadersNeverSeeAnOlderOne) {
  const auto promoted = Follow(absl::Milliseconds(1));
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      double newest = 0;
      while (!done) {
        const auto current = promoted->Current();
        EXPECT_GE(current->record.value, newest);
        newest = current->record.value;
        promoted->Refresh().IgnoreError();
      }
    });
  }
  for (int i = 1; i <= 200; ++i) {
    Promote(i);
    ASSERT_TRUE(promoted->Refresh().ok());
    EXPECT_EQ(promoted->Current()->record.value, i);
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace midlayer
