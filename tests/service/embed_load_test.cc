// Overload, deadlines and cancelling, through a real channel, on libtorch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/calls.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr float kTolerance = 1e-4F;  // to transformers, float32, absolute

TEST(LoadTest, AFullQueueRefusesAtOnceAndRecovers) {
  LiveServer live({.engine = {.max_waiting = {.texts = 3, .bytes = 1 << 20}}});
  std::future<Outcome> plug = HoldDevice(live);
  std::future<Outcome> second = Start(live, MeanOf(1, {GoldenTexts()[0], GoldenTexts()[1]}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 2; }));
  // The device is still held: only an answer at once is an answer at all.
  const Outcome refused = live.Embed(MeanOf(1, {"late"}));
  EXPECT_THAT(refused.status, IsStatus(StatusCode::RESOURCE_EXHAUSTED,
                                       AllOf(HasSubstr("the queue is full"), HasSubstr("at most 3 texts"))));
  EXPECT_EQ(live.Metric("midlayer_rejected_total", {{"reason", "queue_full"}}), 1);
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  const Outcome answered = second.get();
  ASSERT_THAT(answered.status, IsOk());
  EXPECT_THAT(Values(answered.response.embeddings(1).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.1", 1)));
  EXPECT_FALSE(live.gate().Saw("late"));
  // All room is given back (a moment after the answer): three texts fit only into an empty server.
  EXPECT_TRUE(Eventually([&] { return live.Embed(MeanOf(1, {"a", "b", "c"})).status.ok(); }));
}

TEST(LoadTest, BytesCountTowardsAFullQueueToo) {
  LiveServer live({.engine = {.max_waiting = {.texts = 100, .bytes = 50}}});
  std::future<Outcome> plug = HoldDevice(live);
  EXPECT_THAT(live.Embed(MeanOf(1, {std::string(47, 'x')})).status,
              IsStatus(StatusCode::RESOURCE_EXHAUSTED, HasSubstr("50 bytes")));
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
}

TEST(LoadTest, ARequestWhoseDeadlinePassesInTheQueueIsNeverComputed) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  const Outcome outcome = live.Embed(MeanOf(1, {"too late"}), absl::Milliseconds(200));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(Eventually([&] { return live.Ended("Embed", "DEADLINE_EXCEEDED") == 1; }));
  EXPECT_EQ(live.Metric("midlayer_rejected_total", {{"reason", "deadline"}}), 1);
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  EXPECT_THAT(live.Embed(MeanOf(1, {"after"})).status, IsOk());
  EXPECT_FALSE(live.gate().Saw("too late"));
}

TEST(LoadTest, ACancelledRequestIsNeverComputedAndItsNeighboursAreAnsweredRight) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  std::future<Outcome> before = Start(live, MeanOf(2, {GoldenTexts()[0]}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 2; }));
  const auto context = NewContext();
  std::future<grpc::Status> cancelled = std::async(std::launch::async, [&] {
    v1::EmbedResponse response;
    return live.stub().Embed(context.get(), MeanOf(2, {"regretted"}), &response);
  });
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 3; }));
  std::future<Outcome> after = Start(live, MeanOf(3, {GoldenTexts()[1]}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 4; }));
  context->TryCancel();
  EXPECT_EQ(cancelled.get().error_code(), StatusCode::CANCELLED);
  ASSERT_TRUE(Eventually([&] { return live.Ended("Embed", "CANCELLED") == 1; }));
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  const Outcome first = before.get(), second = after.get();
  ASSERT_THAT(first.status, IsOk());
  ASSERT_THAT(second.status, IsOk());
  EXPECT_THAT(Values(first.response.embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.2", 0)));
  EXPECT_THAT(Values(second.response.embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.3", 1)));
  EXPECT_EQ(live.gate().largest_batch(), 2U) << "the neighbours were to share a batch";
  EXPECT_FALSE(live.gate().Saw("regretted"));
}

TEST(LoadTest, ARequestThatFailsOnTheDeviceHarmsNoneOfItsBatch) {
  LiveServer live;
  live.gate().Poison("poison");
  std::future<Outcome> plug = HoldDevice(live);
  std::vector<std::future<Outcome>> good;
  for (int i = 0; i < 3; ++i) {
    good.push_back(Start(live, MeanOf(2, {GoldenTexts()[i]})));
    ASSERT_TRUE(Eventually([&] { return live.Tokenized() == i + 2; }));
  }
  std::future<Outcome> bad = Start(live, MeanOf(2, {"poison"}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 5; }));
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  EXPECT_THAT(bad.get().status, IsStatus(StatusCode::INTERNAL, HasSubstr("texts[0]: poison")));
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = good[i].get();
    ASSERT_THAT(outcome.status, IsOk());
    EXPECT_THAT(Values(outcome.response.embeddings(0).vectors(0)),
                Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.2", i)));
  }
  EXPECT_EQ(live.gate().largest_batch(), 4U);
}

}  // namespace
}  // namespace midlayer
