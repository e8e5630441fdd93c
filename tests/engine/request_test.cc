#include "server/engine/request.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/requests.h"

namespace midlayer {
namespace {

using testing::ElementsAre;

const absl::Duration kNone = absl::ZeroDuration();

TEST(RequestTest, ResultsAreInTheOrderOfTheTexts) {
  const Tracked tracked = Track(TaskOf(100));
  std::vector<size_t> order(100);
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (size_t text : order) {
    EXPECT_EQ(tracked.outcome->times(), 0);
    tracked.request->SetTokens(text, static_cast<int>(text) + 1, text % 3 == 0);
    tracked.request->Deliver(text, {{static_cast<float>(text)}}, kNone, kNone);
  }
  ASSERT_EQ(tracked.outcome->times(), 1);
  const EmbedResult result = tracked.outcome->Wait().value();
  ASSERT_EQ(result.texts.size(), 100u);
  for (size_t text = 0; text < 100; ++text) {
    EXPECT_THAT(result.texts[text].vectors, ElementsAre(ElementsAre(static_cast<float>(text))));
    EXPECT_EQ(result.texts[text].tokens, static_cast<int>(text) + 1);
    EXPECT_EQ(result.texts[text].truncated, text % 3 == 0);
  }
}

TEST(RequestTest, EachOutputTakesItsOwnSlots) {
  EmbedTask task = TaskOf(1);
  task.outputs = {OutputSpec{.layers = {2}, .normalize = false},
                  OutputSpec{.layers = {1, 4, 0}, .fusion = Fusion::kMean, .normalize = false},
                  OutputSpec{.layers = {3, 3}, .fusion = Fusion::kConcat, .normalize = false}};
  const Tracked tracked = Track(task);
  EXPECT_EQ(tracked.request->last_layer, 4);
  ASSERT_EQ(tracked.request->slots.size(), 6u);
  tracked.request->Deliver(0, {{7}, {1}, {2}, {6}, {8}, {9}}, kNone, kNone);
  EXPECT_THAT(tracked.outcome->Wait()->texts[0].vectors,
              ElementsAre(ElementsAre(7), ElementsAre(3), ElementsAre(8, 9)));
}

TEST(RequestTest, TimingIsThatOfTheSlowestText) {
  const Tracked tracked = Track(TaskOf(2));
  EXPECT_FALSE(tracked.request->Tokenized(1, Second(2)));
  EXPECT_TRUE(tracked.request->Tokenized(1, Second(3))) << "the last text";
  tracked.request->Deliver(1, {{0}}, absl::Seconds(5), absl::Seconds(1));
  tracked.request->Deliver(0, {{0}}, absl::Seconds(4), absl::Seconds(7));
  const RequestTiming timing = tracked.outcome->Wait()->timing;
  EXPECT_EQ(timing.tokenize, absl::Seconds(3)) << "since the request's start";
  EXPECT_EQ(timing.queue, absl::Seconds(5));
  EXPECT_EQ(timing.forward, absl::Seconds(7));
}

TEST(RequestTest, AnErrorWinsOverWhatComesLater) {
  const Tracked tracked = Track(TaskOf(2));
  tracked.request->Deliver(0, {{1}}, kNone, kNone);
  EXPECT_FALSE(tracked.request->Ended());
  tracked.request->Fail(absl::InternalError("broken"));
  EXPECT_TRUE(tracked.request->Ended());
  tracked.request->Deliver(1, {{1}}, kNone, kNone);
  tracked.request->Cancel();
  EXPECT_EQ(tracked.outcome->status(), absl::InternalError("broken"));
  EXPECT_EQ(tracked.outcome->times(), 1);
}

TEST(RequestTest, WhatComesAfterTheResultIsDropped) {
  const Tracked tracked = Track(TaskOf(1));
  tracked.request->Deliver(0, {{1}}, kNone, kNone);
  tracked.request->Fail(absl::InternalError("late"));
  EXPECT_TRUE(tracked.outcome->Wait().ok());
  EXPECT_EQ(tracked.outcome->times(), 1);
  const Tracked cancelled = Track(TaskOf(1));
  cancelled.request->Cancel();
  EXPECT_EQ(cancelled.outcome->status().code(), absl::StatusCode::kCancelled);
}

// The callback, and what it holds, goes when the request ends, not when the last owner of the request does.
TEST(RequestTest, TheCallbackIsGivenUpAtTheEnd) {
  const auto held = std::make_shared<int>(0);
  Request request(TaskOf(1), Second(0), [held](absl::StatusOr<EmbedResult>) {});
  EXPECT_EQ(held.use_count(), 2);
  request.Cancel();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(RequestTest, ThePermitIsGivenBackBeforeTheAnswer) {
  auto permit = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = permit;
  bool gone = false;
  Request request(TaskOf(1), Second(0), [&](const absl::StatusOr<EmbedResult>&) { gone = watch.expired(); });
  request.Hold(std::move(permit));
  EXPECT_FALSE(watch.expired());
  request.Deliver(0, {{1}}, kNone, kNone);
  EXPECT_TRUE(gone) << "who is answered may send the next request";

  permit = std::make_shared<int>(0);
  const std::weak_ptr<int> late = permit;
  request.Hold(std::move(permit));
  EXPECT_TRUE(late.expired()) << "the request had ended";
}

TEST(RequestTest, EndsExactlyOnceUnderConcurrentEnds) {
  int results = 0;
  for (int round = 0; round < 300; ++round) {
    const Tracked tracked = Track(TaskOf(4));
    std::vector<std::thread> threads;
    for (size_t text = 0; text < 4; ++text) {
      threads.emplace_back([&, text] { tracked.request->Deliver(text, {{1}}, kNone, kNone); });
    }
    if (round % 2 == 0) threads.emplace_back([&] { tracked.request->Fail(absl::InternalError("x")); });
    if (round % 2 == 0) threads.emplace_back([&] { tracked.request->Cancel(); });
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(tracked.outcome->times(), 1) << "round " << round;
    ASSERT_TRUE(tracked.request->Ended());
    const auto result = tracked.outcome->Wait();
    if (!result.ok()) continue;
    ++results;
    for (const TextResult& text : result->texts) EXPECT_EQ(text.vectors.size(), 1u) << "a result with a hole";
  }
  EXPECT_GE(results, 150) << "the rounds without errors";
}

}  // namespace
}  // namespace midlayer
