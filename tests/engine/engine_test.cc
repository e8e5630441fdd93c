#include "server/engine/engine.h"

#include <prometheus/registry.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/fake_model.h"
#include "tests/engine/golden_tokenizer.h"
#include "tests/engine/requests.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using WhenFull = Engine::WhenFull;

// Ten words of the golden vocabulary, one token each: three of them make 1,000 texts of 5 tokens.
std::string TextNumber(size_t n) {
  static constexpr const char* kWords[] = {"the",    "layer", "model", "small", "server",
                                           "vector", "text",  "token", "last",  "middle"};
  return absl::StrCat(kWords[n / 100 % 10], " ", kWords[n / 10 % 10], " ", kWords[n % 10]);
}

std::vector<int32_t> IdsOf(const std::string& text) {
  return GoldenTokenizer().Encode(text, Truncation::kNone).value().ids;
}

// The vector that text is to have at `layer`, raw, under the mean.
std::vector<float> Expected(const std::string& text, int layer = 1, int pool_begin = 0) {
  return VectorOf(IdsOf(text), pool_begin, {.layer = layer});
}

EmbedTask Texts(std::vector<std::string> texts, int layer = 1) {
  EmbedTask task = TaskOf(0, layer);
  task.texts = std::move(texts);
  return task;
}

// The value of a series without labels.
double Gauge(const Telemetry& telemetry, const std::string& name) {
  for (const auto& family : telemetry.registry()->Collect()) {
    if (family.name == name) return family.metric.at(0).gauge.value;
  }
  return -1;
}

// The first series of a counter; 0 where there is none yet.
// The counter of a family with this reason.
double CounterOf(const Telemetry& telemetry, const std::string& name, const std::string& reason) {
  for (const auto& family : telemetry.registry()->Collect()) {
    if (family.name != name) continue;
    for (const auto& metric : family.metric) {
      if (metric.label.front().value == reason) return metric.counter.value;
    }
  }
  return -1;
}

double RejectedForFullQueue(const Telemetry& telemetry) {
  return CounterOf(telemetry, "midlayer_rejected_total", "queue_full");
}

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    options_.clock = [this] { return absl::FromUnixMicros(now_.load()); };
    options_.batch_tokens = 1000;
  }
  // A failed case must not hang on a closed gate.
  ~EngineTest() override { model_.Open(); }

  void Start(int runners = 1) {
    std::vector<std::unique_ptr<Runner>> all;
    for (int i = 0; i < runners; ++i) all.push_back(std::make_unique<FakeRunner>(&model_));
    engine_ = std::make_unique<Engine>(options_, &GoldenTokenizer(), std::move(all), &telemetry_);
  }

  Tracked Embed(EmbedTask task, WhenFull when_full = WhenFull::kRefuse) {
    Tracked tracked;
    tracked.request = engine_->Embed(
        std::move(task), when_full,
        [outcome = tracked.outcome](absl::StatusOr<EmbedResult> result) { outcome->Set(std::move(result)); });
    return tracked;
  }

  // The model is busy with a first request until model_.Open().
  Tracked KeepBusy() {
    model_.Close();
    Tracked busy = Embed(Texts({"the"}));
    model_.WaitForBatches(1);
    return busy;
  }

  // Until so many rows wait in the queue.
  void WaitForQueue(int rows) {
    while (Gauge(telemetry_, "midlayer_queue_texts") != rows) std::this_thread::yield();
  }

  void Advance(absl::Duration by) { now_ += absl::ToInt64Microseconds(by); }

  std::atomic<int64_t> now_ = 1'000'000'000;  // microseconds
  Engine::Options options_;
  FakeModel model_;
  Telemetry telemetry_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, AThousandTextsComeBackInOrder) {
  options_.batch_tokens = 64;
  options_.tokenizer_threads = 3;
  Start();
  EmbedTask task = Texts({});
  for (size_t n = 0; n < 1000; ++n) task.texts.push_back(TextNumber(n));
  const auto result = Embed(task).outcome->Wait();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->texts.size(), 1000u);
  for (size_t n = 0; n < 1000; ++n) {
    ASSERT_THAT(result->texts[n].vectors, ElementsAre(Expected(TextNumber(n)))) << n;
    ASSERT_EQ(result->texts[n].tokens, 5) << n;
  }
  EXPECT_GE(model_.RowsOfBatches().size(), 1000u / 12) << "64 tokens hold 12 texts of 5";
}

TEST_F(EngineTest, LayersAndOutputsAreMixedInABatch) {
  Start();
  const Tracked busy = KeepBusy();
  std::vector<Tracked> tracked;
  for (int n = 0; n < 20; ++n) {
    EmbedTask task = Texts({TextNumber(static_cast<size_t>(n))}, n % 7);
    task.outputs.push_back(
        OutputSpec{.layers = {(n + 3) % 7}, .pooling = Pooling::kMax, .state = State::kNormed, .normalize = false});
    tracked.push_back(Embed(task));
  }
  WaitForQueue(20);
  model_.Open();
  for (int n = 0; n < 20; ++n) {
    const auto result = tracked[static_cast<size_t>(n)].outcome->Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    const std::vector<int32_t> ids = IdsOf(TextNumber(static_cast<size_t>(n)));
    EXPECT_THAT(result->texts[0].vectors,
                ElementsAre(VectorOf(ids, 0, {n % 7}), VectorOf(ids, 0, {(n + 3) % 7, State::kNormed, Pooling::kMax})));
  }
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1, 20));
}

TEST_F(EngineTest, ABadTextFailsItsRequestOnly) {
  Start();
  std::string too_long;
  for (int i = 0; i < 80; ++i) too_long += "text ";
  const Tracked before = Embed(Texts({"small server"}));
  const Tracked bad = Embed(Texts({"the", "layer", "model", too_long, "text"}));
  const Tracked not_utf8 = Embed(Texts({"the", "\xFF"}));
  const Tracked after = Embed(Texts({"last layer"}));
  EXPECT_EQ(bad.outcome->status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bad.outcome->status().message()),
              HasSubstr("texts[3]: expected at most 66 tokens, found 82"));
  EXPECT_THAT(std::string(not_utf8.outcome->status().message()), HasSubstr("texts[1]: expected UTF-8"));
  ASSERT_TRUE(before.outcome->Wait().ok());
  ASSERT_TRUE(after.outcome->Wait().ok());
  EXPECT_THAT(after.outcome->Wait()->texts[0].vectors, ElementsAre(Expected("last layer")));
}

TEST_F(EngineTest, TruncationIsTold) {
  Start();
  EmbedTask task = Texts({"the", ""});
  for (int i = 0; i < 80; ++i) task.texts[1] += "text ";
  task.truncation = Truncation::kRight;
  const EmbedResult result = Embed(task).outcome->Wait().value();
  EXPECT_EQ(result.texts[0].tokens, 3);
  EXPECT_FALSE(result.texts[0].truncated);
  EXPECT_EQ(result.texts[1].tokens, 66);
  EXPECT_TRUE(result.texts[1].truncated);
}

TEST_F(EngineTest, ARowThatTheModelFailsOnFailsNoNeighbour) {
  Start();
  const Tracked busy = KeepBusy();
  std::vector<Tracked> tracked;
  for (size_t n = 0; n < 6; ++n) tracked.push_back(Embed(Texts({n == 2 ? "deja vu" : TextNumber(n)})));
  const Tracked two = Embed(Texts({"small", "vu"}));
  WaitForQueue(8);
  model_.Open();
  for (size_t n = 0; n < 6; ++n) {
    const auto result = tracked[n].outcome->Wait();
    if (n == 2) {
      EXPECT_EQ(result.status(), absl::InternalError("texts[0]: the fake model fails on vu"));
    } else {
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected(TextNumber(n))));
    }
  }
  EXPECT_EQ(two.outcome->status(), absl::InternalError("texts[1]: the fake model fails on vu"));
  const Tracked next = Embed(Texts({"the"}));
  EXPECT_TRUE(next.outcome->Wait().ok()) << "the engine goes on";
}

TEST_F(EngineTest, AFailedBatchIsHalved) {
  Start();
  const Tracked busy = KeepBusy();
  std::vector<Tracked> tracked;
  for (size_t n = 0; n < 8; ++n) tracked.push_back(Embed(Texts({n == 7 ? "the vu the" : TextNumber(n)})));
  WaitForQueue(8);
  model_.Open();
  for (const Tracked& each : tracked) static_cast<void>(each.outcome->Wait());
  // All have 5 tokens, so the row stays last.
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1, 8, 4, 4, 2, 2, 1, 1));
}

TEST_F(EngineTest, ABatchThatIsTooMuchForTheMemoryIsRunInParts) {
  model_.most_rows = 3;
  Start();
  const Tracked busy = KeepBusy();
  std::vector<Tracked> tracked;
  for (size_t n = 0; n < 8; ++n) tracked.push_back(Embed(Texts({TextNumber(n)})));
  WaitForQueue(8);
  model_.Open();
  for (size_t n = 0; n < 8; ++n) {
    const auto result = tracked[n].outcome->Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected(TextNumber(n))));
  }
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1, 8, 4, 2, 2, 4, 2, 2));
  EXPECT_EQ(CounterOf(telemetry_, "midlayer_batch_splits_total", "out_of_memory"), 3);
}

TEST_F(EngineTest, ATextThatIsTooMuchForTheMemoryAloneIsRefused) {
  model_.most_rows = 0;
  Start();
  EXPECT_EQ(Embed(Texts({"the"})).outcome->status(),
            absl::ResourceExhaustedError("texts[0]: out of the fake model's memory"));
}

TEST_F(EngineTest, SeveralRunnersWorkAtOnce) {
  Start(/*runners=*/3);
  model_.Close();
  std::vector<Tracked> tracked;
  for (size_t n = 0; n < 3; ++n) {
    tracked.push_back(Embed(Texts({TextNumber(n)})));
    model_.WaitForBatches(n + 1);  // while those before it are still under way
  }
  tracked.push_back(Embed(Texts({TextNumber(3)})));
  WaitForQueue(1);
  model_.Open();
  for (size_t n = 0; n < 4; ++n) {
    const auto result = tracked[n].outcome->Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected(TextNumber(n))));
  }
}

// It had no memory beside another batch, not for itself.
TEST_F(EngineTest, ATextThatFindsNoMemoryBesideOthersIsRunWithoutThem) {
  model_.memory_for_one = true;
  Start(/*runners=*/2);
  const Tracked busy = KeepBusy();
  const Tracked second = Embed(Texts({"small"}));
  model_.WaitForBatches(2);  // it was tried beside the first
  model_.Open();
  EXPECT_TRUE(busy.outcome->Wait().ok());
  const auto result = second.outcome->Wait();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected("small")));
}

TEST_F(EngineTest, SeveralRunnersShareStatesPassesAndTexts) {
  Start(/*runners=*/3);
  std::vector<std::thread> scorers;
  std::atomic<int> layers = 0;
  for (int i = 0; i < 4; ++i) {
    scorers.emplace_back([&] {
      const PackedTokens batch{.ids = {1, 2}, .offsets = {0, 2}, .last_layer = {1}};
      for (int pass = 0; pass < 25; ++pass) {
        const auto took = engine_->RunStates(batch, State::kRaw, [&](int, absl::Span<const float>) {
          ++layers;
          return true;
        });
        EXPECT_TRUE(took.ok()) << took.status();
      }
    });
  }
  std::vector<Tracked> tracked;
  for (size_t n = 0; n < 200; ++n) tracked.push_back(Embed(Texts({TextNumber(n)}), WhenFull::kWait));
  for (size_t n = 0; n < 200; ++n) {
    const auto result = tracked[n].outcome->Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected(TextNumber(n))));
  }
  for (std::thread& scorer : scorers) scorer.join();
  EXPECT_EQ(layers, 4 * 25 * FakeModel::kLayers);
}

TEST_F(EngineTest, AFullQueueRefusesAtOnce) {
  options_.max_waiting = {.texts = 4, .bytes = 1000};
  Start();
  const Tracked busy = KeepBusy();
  const Tracked fits = Embed(Texts({"a", "b", "c"}));
  const Tracked refused = Embed(Texts({"d"}));
  EXPECT_EQ(refused.outcome->times(), 1) << "before Embed() returned";
  EXPECT_EQ(refused.outcome->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(refused.request->Ended());
  EXPECT_EQ(RejectedForFullQueue(telemetry_), 1);
  model_.Open();
  EXPECT_TRUE(fits.outcome->Wait().ok());
  EXPECT_TRUE(busy.outcome->Wait().ok());
  EXPECT_FALSE(model_.Saw(IdsOf("d")));
  EXPECT_TRUE(Embed(Texts({"d"})).outcome->Wait().ok()) << "room was given back";
}

TEST_F(EngineTest, BytesFillTheQueueToo) {
  options_.max_waiting = {.texts = 100, .bytes = 10};
  Start();
  const Tracked busy = KeepBusy();  // 3 bytes
  EXPECT_EQ(Embed(Texts({"12345678"})).outcome->status().code(), absl::StatusCode::kResourceExhausted);
  const Tracked fits = Embed(Texts({"1234567"}));
  model_.Open();
  EXPECT_TRUE(fits.outcome->Wait().ok());
}

TEST_F(EngineTest, WhoWaitsForRoomStartsWhenThereIsRoom) {
  options_.max_waiting = {.texts = 1, .bytes = 1000};
  Start();
  const Tracked busy = KeepBusy();
  const Tracked first = Embed(Texts({"small"}), WhenFull::kWait);
  const Tracked second = Embed(Texts({"server"}), WhenFull::kWait);
  EXPECT_EQ(Embed(Texts({"a"})).outcome->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(first.outcome->times(), 0);
  model_.Open();
  EXPECT_THAT(first.outcome->Wait()->texts[0].vectors, ElementsAre(Expected("small")));
  EXPECT_THAT(second.outcome->Wait()->texts[0].vectors, ElementsAre(Expected("server")));
  EXPECT_TRUE(busy.outcome->Wait().ok());
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1, 1, 1)) << "one after the other";
}

TEST_F(EngineTest, ACancelledRequestIsNeverComputed) {
  options_.max_waiting = {.texts = 3, .bytes = 1000};
  Start();
  const Tracked busy = KeepBusy();
  const Tracked queued = Embed(Texts({"small", "server"}));
  WaitForQueue(2);
  const Tracked waiting = Embed(Texts({"vector"}), WhenFull::kWait);
  for (const Tracked& tracked : {queued, waiting}) {
    tracked.request->Cancel();
    EXPECT_EQ(tracked.outcome->times(), 1) << "at once, though the model is busy";
    EXPECT_EQ(tracked.outcome->status().code(), absl::StatusCode::kCancelled);
  }
  model_.Open();
  EXPECT_TRUE(Embed(Texts({"token", "token"}), WhenFull::kWait).outcome->Wait().ok());
  for (const char* text : {"small", "server", "vector"}) EXPECT_FALSE(model_.Saw(IdsOf(text))) << text;
  EXPECT_TRUE(model_.Saw(IdsOf("token")));
}

TEST_F(EngineTest, WhatIsPastItsDeadlineInTheQueueIsNeverComputed) {
  Start();
  const Tracked busy = KeepBusy();
  EmbedTask task = Texts({"small", "server"});
  task.deadline = options_.clock() + absl::Seconds(10);
  const Tracked late = Embed(task);
  task = Texts({"vector"});
  task.deadline = options_.clock() + absl::Seconds(30);
  const Tracked in_time = Embed(task);
  WaitForQueue(3);
  Advance(absl::Seconds(20));
  model_.Open();
  EXPECT_EQ(late.outcome->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(late.outcome->status().message()), HasSubstr("after 20s in the queue"));
  EXPECT_THAT(in_time.outcome->Wait()->texts[0].vectors, ElementsAre(Expected("vector")));
  EXPECT_EQ(in_time.outcome->Wait()->timing.queue, absl::Seconds(20));
  EXPECT_FALSE(model_.Saw(IdsOf("small")));
  EXPECT_FALSE(model_.Saw(IdsOf("server")));
}

TEST_F(EngineTest, ADeadlineThatHadPassedBeforeIsNotTokenized) {
  Start();
  EmbedTask task = Texts({"small"});
  task.deadline = options_.clock();
  const absl::Status status = Embed(task).outcome->status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("before the texts were tokenized"));
}

TEST_F(EngineTest, ThePromptIsPutBeforeEveryText) {
  for (const bool include_prompt : {true, false}) {
    SCOPED_TRACE(include_prompt);
    options_.include_prompt = include_prompt;
    Start();
    EmbedTask task = Texts({"layer", "", "last token"});
    task.prompt = "small server ";
    const auto result = Embed(task).outcome->Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    const int left_out = include_prompt ? 0 : 3;  // [CLS] small server
    EXPECT_THAT(result->texts[0].vectors, ElementsAre(Expected("small server layer", 1, left_out)));
    EXPECT_THAT(result->texts[1].vectors, ElementsAre(Expected("small server", 1, left_out)));
    EXPECT_THAT(result->texts[2].vectors, ElementsAre(Expected("small server last token", 1, left_out)));
    EXPECT_EQ(result->texts[0].tokens, 5) << "prompt and special tokens are counted";
    const auto without = Embed(Texts({"layer"})).outcome->Wait();
    EXPECT_THAT(without->texts[0].vectors, ElementsAre(Expected("layer")));
  }
}

TEST_F(EngineTest, APromptThatIsTooLongIsNamed) {
  options_.include_prompt = false;
  Start();
  EmbedTask task = Texts({"layer"});
  for (int i = 0; i < 80; ++i) task.prompt += "text ";
  EXPECT_THAT(std::string(Embed(task).outcome->status().message()), HasSubstr("prompt: expected at most 66 tokens"));
  task.prompt = "";
  for (int i = 0; i < 64; ++i) task.prompt += "text ";
  task.truncation = Truncation::kRight;  // only [SEP] is left of the text, and it is pooled
  EXPECT_THAT(Embed(task).outcome->Wait()->texts[0].vectors, ElementsAre(VectorOf({3}, 0, {1})));
}

TEST_F(EngineTest, ALeftCutGoesThroughThePromptBeforeTheText) {
  options_.include_prompt = false;
  Start();
  const struct {
    int words;                // of the text; with [CLS], two words of prompt and [SEP], 66 tokens fit
    const char* prompt_left;  // what the cut leaves of the prompt
    int left_out;
  } cases[] = {{62, "small server ", 3}, {63, "server ", 2}, {64, "", 1}, {65, "", 1}};
  for (const auto& test : cases) {
    SCOPED_TRACE(test.words);
    std::string words, kept;
    for (int i = 0; i < test.words; ++i) words += "text ";
    for (int i = 0; i < std::min(test.words, 64); ++i) kept += "text ";
    EmbedTask task = Texts({words});
    task.prompt = "small server ";
    task.truncation = Truncation::kLeft;
    EXPECT_THAT(Embed(task).outcome->Wait()->texts[0].vectors,
                ElementsAre(Expected(test.prompt_left + kept, 1, test.left_out)));
  }
}

TEST_F(EngineTest, DestructionEndsWhatWaitsWithUnavailable) {
  options_.max_waiting = {.texts = 2, .bytes = 1000};
  Start();
  const Tracked busy = KeepBusy();
  const Tracked queued = Embed(Texts({"small"}));
  WaitForQueue(1);
  const Tracked waiting = Embed(Texts({"vector"}), WhenFull::kWait);
  std::future<void> destroyed = std::async(std::launch::async, [this] { engine_.reset(); });
  EXPECT_EQ(queued.outcome->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(waiting.outcome->status().code(), absl::StatusCode::kUnavailable);
  model_.Open();
  destroyed.get();
  EXPECT_TRUE(busy.outcome->Wait().ok()) << "what is being computed is delivered";
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1));
  for (const Tracked& tracked : {busy, queued, waiting}) EXPECT_EQ(tracked.outcome->times(), 1);
}

// Wherever the requests are when the engine goes: each ends, once.
TEST_F(EngineTest, DestructionAtAnyMomentEndsEveryRequest) {
  options_.batch_tokens = 8;
  for (int round = 0; round < 200; ++round) {
    options_.max_waiting = {.texts = 1 + round % 8, .bytes = 1000};
    options_.tokenizer_threads = 1 + round % 2;
    Start();
    std::vector<Tracked> tracked;
    for (size_t n = 0; n < 20; ++n) tracked.push_back(Embed(Texts({"small"}), WhenFull::kWait));
    if (round % 3 > 0) static_cast<void>(tracked[static_cast<size_t>(round % 5)].outcome->Wait());
    engine_.reset();
    for (size_t n = 0; n < tracked.size(); ++n) {
      ASSERT_EQ(tracked[n].outcome->times(), 1) << "round " << round << ", request " << n;
      const absl::Status status = tracked[n].outcome->status();
      ASSERT_TRUE(status.ok() || status.code() == absl::StatusCode::kUnavailable) << status;
    }
  }
}

TEST_F(EngineTest, EveryRequestOfManyThreadsIsAnsweredOnce) {
  constexpr size_t kThreads = 8, kRequests = 200;
  options_.batch_tokens = 100;
  options_.tokenizer_threads = 2;
  options_.max_waiting = {.texts = 200, .bytes = 1 << 20};
  Start();
  std::vector<std::vector<Tracked>> tracked(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t r = 0; r < kRequests; ++r) {
        EmbedTask task = Texts({}, static_cast<int>(r % 7));
        for (size_t i = 0; i <= r % 3; ++i) task.texts.push_back(TextNumber(t * 100 + r + i));
        task.priority = r % 4 == 0 ? Priority::kBulk : Priority::kInteractive;
        tracked[t].push_back(Embed(task, WhenFull::kWait));
        if (r % 16 == 5) tracked[t].back().request->Cancel();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < kThreads; ++t) {
    for (size_t r = 0; r < kRequests; ++r) {
      SCOPED_TRACE(absl::StrCat("thread ", t, ", request ", r));
      const auto result = tracked[t][r].outcome->Wait();
      if (r % 16 == 5 && !result.ok()) {
        ASSERT_EQ(result.status().code(), absl::StatusCode::kCancelled);
        continue;
      }
      ASSERT_TRUE(result.ok()) << result.status();
      ASSERT_EQ(result->texts.size(), r % 3 + 1);
      for (size_t i = 0; i <= r % 3; ++i) {
        ASSERT_THAT(result->texts[i].vectors,
                    ElementsAre(Expected(TextNumber(t * 100 + r + i), static_cast<int>(r % 7))));
      }
    }
  }
  engine_.reset();
  for (const auto& requests : tracked) {
    for (const Tracked& each : requests) ASSERT_EQ(each.outcome->times(), 1);
  }
}

PackedTokens Packed(std::vector<int32_t> ids) {
  const auto tokens = static_cast<int64_t>(ids.size());
  return {.ids = std::move(ids), .offsets = {0, tokens}, .last_layer = {FakeModel::kLayers - 1}};
}

TEST_F(EngineTest, ShowsTheStatesOfEveryLayerInOrder) {
  Start();
  std::vector<std::vector<float>> seen;
  const auto ended = engine_->RunStates(Packed({3, 4}), State::kRaw, [&](int layer, auto states) {
    EXPECT_EQ(layer, static_cast<int>(seen.size()));
    seen.emplace_back(states.begin(), states.end());
    return true;
  });
  EXPECT_TRUE(ended.ok()) << ended.status();
  EXPECT_THAT(seen, ElementsAre(ElementsAre(3, 4), ElementsAre(6, 8)));
}

TEST_F(EngineTest, AStatesPassStepsAsideBetweenTwoLayersForWhoeverWaits) {
  Start();
  Tracked embed;
  const auto ended = engine_->RunStates(Packed({3, 4}), State::kRaw, [&](int layer, auto) {
    Advance(absl::Milliseconds(5));
    if (layer == 0) {
      embed = Embed(Texts({"the"}));
      WaitForQueue(1);
    } else {
      EXPECT_EQ(embed.outcome->times(), 1) << "answered in the midst of the pass";
    }
    return true;
  });
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*ended, FakeModel::kLayers * absl::Milliseconds(5));
  EXPECT_TRUE(embed.outcome->status().ok());
}

// On processors of its own a pass goes on beside a batch; on shared ones it waits for it once it had its share.
TEST_F(EngineTest, AStatesPassWaitsForABatchThatItWouldSlowDown) {
  for (const bool shared : {false, true}) {
    model_.shares_processors = shared;
    Start(/*runners=*/2);
    const Tracked busy = KeepBusy();
    std::atomic<int> layers = 0;
    std::thread scorer([&] {
      const auto ended = engine_->RunStates(Packed({3, 4}), State::kRaw, [&](int layer, auto) {
        Advance(absl::Milliseconds(5));
        EXPECT_TRUE(layer == 0 || busy.outcome->times() == (shared ? 1 : 0));
        ++layers;
        return true;
      });
      EXPECT_TRUE(ended.ok()) << ended.status();
    });
    while (layers < (shared ? 1 : FakeModel::kLayers)) std::this_thread::yield();
    model_.Open();
    scorer.join();
    EXPECT_TRUE(busy.outcome->Wait().ok());
    engine_.reset();
    model_.batches.clear();
  }
}

TEST_F(EngineTest, AStatesPassEndsWhereItIsToldToAndWhereTheModelFails) {
  Start();
  int layers = 0;
  EXPECT_TRUE(engine_->RunStates(Packed({3}), State::kRaw, [&](int, auto) { return ++layers < 1; }).ok());
  EXPECT_EQ(layers, 1);
  const auto failed = engine_->RunStates(Packed({kPoison}), State::kRaw, [](int, auto) { return true; });
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Embed(Texts({"the"})).outcome->status().ok()) << "harmed nobody else";
}

TEST_F(EngineTest, ATextThatComesAgainIsNotComputedAgain) {
  options_.cache_entries = 10;
  Start();
  const auto first = Embed(Texts({"the layer", "the model"})).outcome->Wait();
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(2));
  const auto again = Embed(Texts({"the model", "the server", "the layer"})).outcome->Wait();
  ASSERT_TRUE(again.ok());
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(2, 1)) << "only the new one";
  const std::vector<std::string> texts = {"the model", "the server", "the layer"};
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_THAT(again->texts[i].vectors, ElementsAre(Expected(texts[i]))) << texts[i];
    EXPECT_EQ(again->texts[i].tokens, 4) << texts[i];
  }
  ASSERT_TRUE(Embed(Texts(texts)).outcome->Wait().ok());
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(2, 1)) << "none is new";
  EXPECT_EQ(Embed(Texts({"the model"}, 3)).outcome->Wait()->texts[0].vectors[0], Expected("the model", 3));
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(2, 1, 1)) << "of another layer it is new";
}

// What does not change the pooled vectors changes what is made of them.
TEST_F(EngineTest, KeptVectorsAreFinishedAsEachRequestAsks) {
  options_.cache_entries = 10;
  Start();
  ASSERT_TRUE(Embed(Texts({"the layer"})).outcome->Wait().ok());
  EmbedTask task = Texts({"the layer"});
  task.outputs[0].dimensions = 2;
  task.outputs[0].normalize = true;
  const auto cut = Embed(task).outcome->Wait();
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ(cut->texts[0].vectors[0], FinishVector(task.outputs[0], {{Expected("the layer")}}));
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1));
}

TEST_F(EngineTest, TruncationIsKeptToo) {
  options_.cache_entries = 10;
  Start();
  EmbedTask task = Texts({""});
  for (int i = 0; i < 100; ++i) task.texts[0] += "the ";
  task.truncation = Truncation::kRight;
  for (int time = 0; time < 2; ++time) {
    const auto result = Embed(task).outcome->Wait();
    ASSERT_TRUE(result.ok());
    EXPECT_TRUE(result->texts[0].truncated);
    EXPECT_EQ(result->texts[0].tokens, 66);
  }
  EXPECT_THAT(model_.RowsOfBatches(), ElementsAre(1));
  task.truncation = Truncation::kNone;
  EXPECT_EQ(Embed(task).outcome->Wait().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, EncodesForStatesAsForEmbed) {
  Start();
  EXPECT_EQ(engine_->Encode("", "the layer").value().ids, IdsOf("the layer"));
  EXPECT_EQ(engine_->Encode("the ", "layer").value().ids, IdsOf("the layer"));
  EXPECT_EQ(engine_->Encode("the ", "layer").value().pool_begin, 0);
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "the ";
  const Engine::Encoded cut = engine_->Encode("", long_text).value();
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.ids.size(), 66u);
  options_.include_prompt = false;
  Start();
  EXPECT_GT(engine_->Encode("the ", "layer").value().pool_begin, 0);
}

}  // namespace
}  // namespace midlayer
