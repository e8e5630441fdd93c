// EmbedStream through a real channel, on libtorch.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/service/live_server.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr float kTolerance = 1e-4F;  // to transformers, float32, absolute
constexpr int kMessagesAhead = 64;   // how far the server may work ahead of its answers
constexpr int kTextsAhead = 512;

// A stream under way.
struct Stream {
  explicit Stream(LiveServer& live, absl::Duration timeout = absl::Seconds(60))
      : context(NewContext(timeout)), rpc(live.stub().EmbedStream(context.get())) {}

  bool Write(const v1::EmbedRequest& request) const {
    v1::EmbedStreamRequest message;
    *message.mutable_request() = request;
    return rpc->Write(message);
  }

  const std::unique_ptr<grpc::ClientContext> context;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::EmbedStreamRequest, v1::EmbedStreamResponse>> rpc;
};

void ExpectGolden(const v1::EmbedStreamResponse& answer, int layer, size_t text) {
  ASSERT_TRUE(answer.has_response()) << answer.error().message();
  ASSERT_EQ(answer.response().embeddings_size(), 1);
  EXPECT_THAT(Values(answer.response().embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", absl::StrCat("pooled.raw.mean.", layer), text)));
}

void ExpectError(const v1::EmbedStreamResponse& answer, StatusCode code, const testing::Matcher<std::string>& message) {
  ASSERT_TRUE(answer.has_error());
  EXPECT_EQ(answer.error().code(), code);
  EXPECT_THAT(answer.error().message(), message);
}

// Fills the server, which takes one text at a time: the text "plug" stays at the device's closed gate.
std::future<Outcome> HoldDevice(LiveServer& live) {
  live.gate().Close();
  auto plug = std::async(std::launch::async, [&live] { return live.Embed(MeanOf(1, {"plug"})); });
  EXPECT_TRUE(Eventually([&] { return live.gate().Saw("plug"); }));
  return plug;
}

TEST(EmbedStreamTest, FiveHundredMessagesAreAnsweredInOrder) {
  LiveServer live({.engine = {.batch_tokens = 200, .tokenizer_threads = 2}});
  Stream stream(live);
  // Lengths, layers and priorities are mixed, so that answers become ready out of order.
  const auto layer_of = [](int i) { return (i * 7) % 4; };
  const auto text_of = [](int i) { return static_cast<size_t>((i * i + i / 5) % 6); };
  std::thread writer([&] {
    for (int i = 0; i < 500; ++i) {
      v1::EmbedRequest request = MeanOf(layer_of(i), {GoldenTexts()[text_of(i)]});
      if (i % 3 == 0) request.set_priority(v1::PRIORITY_INTERACTIVE);
      ASSERT_TRUE(stream.Write(request));
    }
    stream.rpc->WritesDone();
  });
  v1::EmbedStreamResponse answer;
  for (int i = 0; i < 500; ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(stream.rpc->Read(&answer));
    ASSERT_TRUE(answer.has_response()) << answer.error().message();
    EXPECT_EQ(answer.response().outputs(0).layers(0), layer_of(i));
    EXPECT_EQ(answer.response().model_fingerprint(), live.info().fingerprints[layer_of(i)]);
    ExpectGolden(answer, layer_of(i), text_of(i));
  }
  EXPECT_FALSE(stream.rpc->Read(&answer));
  EXPECT_TRUE(stream.rpc->Finish().ok());
  writer.join();
  EXPECT_EQ(live.Ended("EmbedStream", "OK"), 500);
  EXPECT_GT(live.gate().largest_batch(), 1U) << "messages of a stream were to share batches";
}

TEST(EmbedStreamTest, AMessageThatFailsIsAnsweredInItsPlaceAndTheStreamGoesOn) {
  google::protobuf::LogSilencer quiet;  // protobuf grumbles about the text that is not UTF-8, and sends it
  LiveServer live;
  Stream stream(live);
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "a ";
  ASSERT_TRUE(stream.Write(MeanOf(1, {GoldenTexts()[0]})));
  ASSERT_TRUE(stream.Write(MeanOf(99, {"x"})));
  ASSERT_TRUE(stream.Write(MeanOf(1, {"ok", "b\xFF"})));
  ASSERT_TRUE(stream.rpc->Write({}));
  ASSERT_TRUE(stream.Write(MeanOf(1, {long_text})));
  v1::EmbedRequest pinned = MeanOf(1, {"x"});
  pinned.set_expected_model_fingerprint("other");
  ASSERT_TRUE(stream.Write(pinned));
  ASSERT_TRUE(stream.Write(MeanOf(2, {GoldenTexts()[1]})));
  ASSERT_TRUE(stream.rpc->WritesDone());
  std::vector<v1::EmbedStreamResponse> answers(7);
  for (auto& answer : answers) ASSERT_TRUE(stream.rpc->Read(&answer));
  ExpectGolden(answers[0], 1, 0);
  ExpectError(answers[1], StatusCode::INVALID_ARGUMENT, AllOf(HasSubstr("layer: expected"), HasSubstr("found 99")));
  ExpectError(answers[2], StatusCode::INVALID_ARGUMENT, HasSubstr("request.texts[1]: expected UTF-8"));
  ExpectError(answers[3], StatusCode::INVALID_ARGUMENT, AllOf(HasSubstr("texts: expected"), HasSubstr("found 0")));
  ExpectError(answers[4], StatusCode::INVALID_ARGUMENT,
              AllOf(HasSubstr("texts[0]: expected at most 66 tokens"), HasSubstr("found 102")));
  ExpectError(answers[5], StatusCode::FAILED_PRECONDITION, HasSubstr("expected_model_fingerprint"));
  ExpectGolden(answers[6], 2, 1);
  v1::EmbedStreamResponse more;
  EXPECT_FALSE(stream.rpc->Read(&more));
  EXPECT_TRUE(stream.rpc->Finish().ok());
  EXPECT_EQ(live.Ended("EmbedStream", "OK"), 2);
  EXPECT_EQ(live.Ended("EmbedStream", "INVALID_ARGUMENT"), 4);
}

// What a message quotes is cut; a cut inside a character would make an answer that no client can read.
TEST(EmbedStreamTest, AQuotedNameIsCutBetweenCharacters) {
  LiveServer live;
  Stream stream(live, absl::Seconds(10));
  for (int offset = 0; offset < 4; ++offset) {
    v1::EmbedRequest request = MeanOf(1, {"x"});
    std::string name(offset, 'a');
    for (int i = 0; i < 50; ++i) name += "\xF0\x9F\x91\x8D";  // U+1F44D
    request.set_prompt_name(name);
    ASSERT_TRUE(stream.Write(request));
    v1::EmbedStreamResponse answer;
    ASSERT_TRUE(stream.rpc->Read(&answer)) << stream.rpc->Finish().error_message();
    ExpectError(answer, StatusCode::INVALID_ARGUMENT, HasSubstr("prompt_name: expected"));
  }
}

// The device is held, so every message that is taken stays.
TEST(EmbedStreamTest, MessagesAreNotTakenAheadWithoutBound) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  Stream stream(live);
  std::thread writer([&] {
    for (int i = 0; i < 1000; ++i) {
      if (!stream.Write(MeanOf(0, {"x"}))) return;
    }
    stream.rpc->WritesDone();
  });
  const double before = 1;  // the plug
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() - before >= kMessagesAhead; }));
  // Other calls are served meanwhile; whatever the stream would still take, it would take by then.
  for (int i = 0; i < 200; ++i) {
    v1::GetModelResponse model;
    ASSERT_TRUE(live.stub().GetModel(NewContext().get(), {}, &model).ok());
    ASSERT_LE(live.Tokenized() - before, kMessagesAhead);
  }
  live.gate().Open();
  v1::EmbedStreamResponse answer;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(stream.rpc->Read(&answer));
    ASSERT_TRUE(answer.has_response()) << answer.error().message();
  }
  EXPECT_FALSE(stream.rpc->Read(&answer));
  EXPECT_TRUE(stream.rpc->Finish().ok());
  writer.join();
  plug.wait();
}

TEST(EmbedStreamTest, TextsAreNotTakenAheadWithoutBound) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  Stream stream(live);
  std::thread writer([&] {
    const v1::EmbedRequest request = MeanOf(0, std::vector<std::string>(100, "x"));
    for (int i = 0; i < 40; ++i) {
      if (!stream.Write(request)) return;
    }
    stream.rpc->WritesDone();
  });
  // 512 are reached within the sixth message.
  const double bound = 1 + (kTextsAhead + 99) / 100;
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() >= bound; }));
  for (int i = 0; i < 200; ++i) {
    v1::GetModelResponse model;
    ASSERT_TRUE(live.stub().GetModel(NewContext().get(), {}, &model).ok());
    ASSERT_LE(live.Tokenized(), bound);
  }
  live.gate().Open();
  v1::EmbedStreamResponse answer;
  int answers = 0;
  while (stream.rpc->Read(&answer)) answers += answer.has_response() ? 1 : 0;
  EXPECT_EQ(answers, 40);
  EXPECT_TRUE(stream.rpc->Finish().ok());
  writer.join();
  plug.wait();
}

// The device is free, but the answers are not read: what the network holds, and the bound above, is all that is taken.
TEST(EmbedStreamTest, AClientThatDoesNotReadIsNotReadEither) {
  LiveServer live;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // keeps the window at 64 KiB
  const auto stub = v1::EmbeddingService::NewStub(live.NewChannel(arguments));
  const auto context = NewContext();
  const auto rpc = stub->EmbedStream(context.get());
  constexpr int kMessages = 1500;
  v1::EmbedStreamRequest message;
  message.mutable_request()->add_texts("x");
  for (int i = 0; i < 64; ++i) message.mutable_request()->add_outputs()->add_layers(0);  // 8 KiB of answer
  std::thread writer([&] {
    for (int i = 0; i < kMessages; ++i) {
      if (!rpc->Write(message)) return;
    }
    rpc->WritesDone();
  });
  // Watches until nothing has gone on for half a second. (If the machine stalls for so long, less is proven, but
  // nothing fails.)
  double taken = 0;
  for (absl::Time last = absl::Now(); absl::Now() - last < absl::Milliseconds(500);) {
    const double now = live.Tokenized();
    if (now > taken || now == 0) last = absl::Now();
    taken = now;
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_LT(taken, kMessages / 2) << "of " << kMessages;
  // Once read, all goes on to the end.
  v1::EmbedStreamResponse answer;
  int answers = 0;
  while (rpc->Read(&answer)) answers += answer.has_response() ? 1 : 0;
  EXPECT_EQ(answers, kMessages);
  EXPECT_TRUE(rpc->Finish().ok());
  writer.join();
}

TEST(EmbedStreamTest, CancellingEndsEverythingAndLeavesNothing) {
  // The budget is out of reach: what waits stays in the queue, where it is counted, and no batch is assembled ahead.
  LiveServer live({.engine = {.batch_tokens = 1 << 20, .max_waiting = {.texts = 40, .bytes = 1 << 20}}});
  live.gate().Close();
  Stream stream(live);
  ASSERT_TRUE(stream.Write(MeanOf(1, {"first"})));
  ASSERT_TRUE(Eventually([&] { return live.gate().Saw("first"); }));
  for (int i = 1; i < 60; ++i) ASSERT_TRUE(stream.Write(MeanOf(1, {"regretted"})));
  // 30 are inside the server, others wait for room: a quarter is left to single requests.
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 30; }));
  stream.context->TryCancel();
  EXPECT_EQ(stream.rpc->Finish().error_code(), StatusCode::CANCELLED);
  // Every message that was taken ends, though the device is still held (how many more had been read by then, to wait
  // for room, is up to the network) ...
  ASSERT_TRUE(Eventually([&] { return live.Ended("EmbedStream", "CANCELLED") >= 30; }));
  EXPECT_EQ(live.Ended("EmbedStream", "OK"), 0);
  // ... and gives its room back: 40 texts fit only where nothing is left inside and nobody waits.
  std::future<Outcome> all;
  ASSERT_TRUE(Eventually([&] {
    all = std::async(std::launch::async, [&] { return live.Embed(MeanOf(2, std::vector<std::string>(40, "x"))); });
    const auto refused = [&] { return all.wait_for(std::chrono::seconds(0)) == std::future_status::ready; };
    return Eventually([&] { return refused() || live.Metric("midlayer_queue_texts") >= 40; }) && !refused();
  }));
  live.gate().Open();
  const Outcome outcome = all.get();
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_FALSE(live.gate().Saw("regretted"));
}

TEST(EmbedStreamTest, EndsWhenTheClientHasNothingMore) {
  LiveServer live;
  Stream nothing(live);
  ASSERT_TRUE(nothing.rpc->WritesDone());
  v1::EmbedStreamResponse answer;
  EXPECT_FALSE(nothing.rpc->Read(&answer));
  EXPECT_TRUE(nothing.rpc->Finish().ok());

  // Half-closed while the answers are still to come.
  std::future<Outcome> plug = HoldDevice(live);
  Stream three(live);
  for (size_t i = 0; i < 3; ++i) ASSERT_TRUE(three.Write(MeanOf(2, {GoldenTexts()[i]})));
  ASSERT_TRUE(three.rpc->WritesDone());
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 4; }));
  live.gate().Open();
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(three.rpc->Read(&answer));
    ExpectGolden(answer, 2, i);
  }
  EXPECT_FALSE(three.rpc->Read(&answer));
  EXPECT_TRUE(three.rpc->Finish().ok());
  plug.wait();
}

TEST(EmbedStreamTest, TheDeadlineOfTheStreamEndsIt) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  Stream stream(live, absl::Milliseconds(300));
  ASSERT_TRUE(stream.Write(MeanOf(1, {"too late"})));
  v1::EmbedStreamResponse answer;
  EXPECT_FALSE(stream.rpc->Read(&answer));
  EXPECT_EQ(stream.rpc->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(Eventually([&] { return live.Ended("EmbedStream", "DEADLINE_EXCEEDED") == 1; }));
  live.gate().Open();
  plug.wait();
  EXPECT_TRUE(live.Embed(MeanOf(1, {"after"})).status.ok());
  EXPECT_FALSE(live.gate().Saw("too late"));
}

TEST(EmbedStreamTest, AFullServerSlowsAStreamDownInsteadOfRefusingIt) {
  LiveServer live({.engine = {.max_waiting = {.texts = 1, .bytes = 1 << 20}}});
  std::future<Outcome> plug = HoldDevice(live);
  Stream stream(live);
  for (size_t i = 0; i < 5; ++i) ASSERT_TRUE(stream.Write(MeanOf(2, {GoldenTexts()[i]})));
  ASSERT_TRUE(stream.rpc->WritesDone());
  // Full: single requests are refused at once.
  EXPECT_EQ(live.Embed(MeanOf(1, {"late"})).status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(live.Ended("EmbedStream", "RESOURCE_EXHAUSTED"), 0);
  EXPECT_EQ(live.Tokenized(), 1);
  live.gate().Open();
  v1::EmbedStreamResponse answer;
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(stream.rpc->Read(&answer));
    ExpectGolden(answer, 2, i);
  }
  EXPECT_FALSE(stream.rpc->Read(&answer));
  EXPECT_TRUE(stream.rpc->Finish().ok());
  EXPECT_TRUE(plug.get().status.ok());
}

TEST(EmbedStreamTest, AMessageOverTheLimitEndsTheStream) {
  LiveServer live({.max_message_bytes = 2000});
  Stream stream(live);
  stream.Write(MeanOf(1, {std::string(3000, 'x')}));
  v1::EmbedStreamResponse answer;
  EXPECT_FALSE(stream.rpc->Read(&answer));
  const grpc::Status status = stream.rpc->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_TRUE(live.Embed(MeanOf(1, {"x"})).status.ok());
}

TEST(EmbedStreamTest, AtShutdownWhatWasSentIsAnsweredAndAnIdleStreamEndsWithTheDrain) {
  LiveServer live;
  live.gate().Close();
  Stream busy(live), idle(live);
  ASSERT_TRUE(busy.Write(MeanOf(2, {GoldenTexts()[1]})));
  ASSERT_TRUE(busy.rpc->WritesDone());
  ASSERT_TRUE(Eventually([&] { return live.gate().Saw(GoldenTexts()[1]); }));
  ASSERT_TRUE(idle.Write(MeanOf(99, {"x"})));
  v1::EmbedStreamResponse answer;
  ASSERT_TRUE(idle.rpc->Read(&answer));  // both streams have arrived
  auto shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Seconds(2)); });
  ASSERT_TRUE(Eventually([&] {
    v1::GetModelResponse model;
    return !v1::EmbeddingService::NewStub(live.NewChannel())->GetModel(NewContext().get(), {}, &model).ok();
  }));
  live.gate().Open();
  ASSERT_TRUE(busy.rpc->Read(&answer));
  ExpectGolden(answer, 2, 1);
  EXPECT_FALSE(busy.rpc->Read(&answer));
  EXPECT_TRUE(busy.rpc->Finish().ok());
  EXPECT_FALSE(idle.rpc->Read(&answer));
  EXPECT_FALSE(idle.rpc->Finish().ok());
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace midlayer
