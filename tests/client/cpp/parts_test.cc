// The parts that know neither gRPC nor a clock: cutting, the window, patience, words of errors.
#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "client/cpp/cutter.h"
#include "client/cpp/requests.h"
#include "client/cpp/settings.h"
#include "client/cpp/window.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Chunks as "FIRST+COUNT", with a "!" where they cannot be sent.
std::vector<std::string> Cut(std::deque<std::string> texts, const Limits& limits) {
  Cutter cutter(
      [&]() -> std::optional<std::string> {
        if (texts.empty()) return std::nullopt;
        std::string text = std::move(texts.front());
        texts.pop_front();
        return text;
      },
      limits);
  std::vector<std::string> chunks;
  while (const std::optional<Chunk> chunk = cutter.Next()) {
    chunks.push_back(std::to_string(chunk->first) + "+" + std::to_string(chunk->texts.size()) +
                     (chunk->fault.empty() ? "" : "!"));
  }
  return chunks;
}

TEST(CutterTest, ByTextsBytesAndFaults) {
  const Limits limits{.texts = 2, .text_bytes = kMessageBytes};
  const std::string half(kMessageBytes / 2, 'x'), all(kMessageBytes, 'x'), more(kMessageBytes + 1, 'x');
  EXPECT_THAT(Cut({}, limits), ElementsAre());
  EXPECT_THAT(Cut({"a", "b", "c"}, limits), ElementsAre("0+2", "2+1"));
  EXPECT_THAT(Cut({"a", all, "b"}, limits), ElementsAre("0+2", "2+1"));
  EXPECT_THAT(Cut({all, all}, limits), ElementsAre("0+1", "1+1"));
  EXPECT_THAT(Cut({half, half, half, "a"}, {.texts = 9, .text_bytes = kMessageBytes}), ElementsAre("0+2", "2+2"));
  EXPECT_THAT(Cut({"a", more, "b", "\xFF", "\xFF", "c"}, limits),
              ElementsAre("0+1", "1+1!", "2+1", "3+1!", "4+1!", "5+1"));
}

TEST(WindowTest, TakesInOrderAndKnowsWhatIsUnanswered) {
  Window window{v1::EmbedRequest()};
  EXPECT_TRUE(window.is_empty());
  ASSERT_NE(window.Push({.first = 0, .texts = {"a", "b"}, .bytes = 2}), nullptr);
  EXPECT_EQ(window.Push({.first = 2, .texts = {"c"}, .bytes = 1, .fault = "expected good, found bad"}), nullptr);
  ASSERT_NE(window.Push({.first = 3, .texts = {"d"}, .bytes = 1}), nullptr);
  EXPECT_EQ(window.Unanswered().size(), 2);

  v1::EmbedStreamResponse refusal;
  refusal.mutable_error()->set_code(3);
  refusal.mutable_error()->set_message("texts[1]: expected this, found that");
  const auto first = window.Take(&refusal);
  const auto& error = std::get<StreamError>(*first);
  EXPECT_EQ(error.first, 0);
  EXPECT_EQ(error.count, 2);
  EXPECT_EQ(error.text, 1);
  EXPECT_EQ(error.status.message(), "texts[1]: expected this, found that (texts 0 to 1 got no vectors)");

  EXPECT_FALSE(window.awaits_answer());
  const auto second = window.Take(nullptr);
  EXPECT_EQ(std::get<StreamError>(*second).status, absl::InvalidArgumentError("texts[2]: expected good, found bad"));

  refusal.mutable_error()->set_code(99);
  refusal.mutable_error()->set_message("no place");
  const auto third = window.Take(&refusal);
  EXPECT_EQ(std::get<StreamError>(*third).status, absl::UnknownError("no place"));
  EXPECT_EQ(std::get<StreamError>(*third).text, std::nullopt);
  EXPECT_TRUE(window.is_empty());
}

TEST(WindowTest, IsFullByMessagesAndByBytes) {
  Window window{v1::EmbedRequest()};
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_FALSE(window.is_full());
    window.Push({.first = i, .texts = {"a"}, .bytes = 1});
  }
  EXPECT_TRUE(window.is_full());
  Window large{v1::EmbedRequest()};
  large.Push({.first = 0, .texts = {"a"}, .bytes = 16 << 20});
  EXPECT_TRUE(large.is_full());
}

const absl::Status kGone = absl::UnavailableError("gone");

TEST(PatienceTest, AServerThatNeverAnsweredGetsAsManyTriesAsACall) {
  const Clock::time_point start;
  Patience patience(absl::Seconds(60), 5, true, start);
  for (const int milliseconds : {100, 200, 400, 800}) {
    EXPECT_EQ(*patience.Pause(kGone, start), absl::Milliseconds(milliseconds));
  }
  EXPECT_EQ(patience.Pause(kGone, start).status(), kGone);
}

TEST(PatienceTest, OneThatAnsweredGetsTheTimeThatThereIs) {
  const Clock::time_point start;
  Patience patience(absl::Seconds(60), 5, true, start);
  patience.Answered();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(patience.Pause(kGone, start).ok());
  EXPECT_EQ(*patience.Pause(kGone, start + std::chrono::seconds(58)), absl::Seconds(2));
  EXPECT_EQ(patience.Pause(kGone, start + std::chrono::milliseconds(58'001)).status(), kGone);
}

TEST(PatienceTest, OtherErrorsAndOneAttemptAreFinal) {
  const Clock::time_point start;
  EXPECT_FALSE(Patience(absl::Seconds(60), 1, true, start).Pause(kGone, start).ok());
  const absl::Status full = absl::ResourceExhaustedError("full");
  EXPECT_EQ(Patience(absl::Seconds(60), 5, true, start).Pause(full, start).status(), full);
}

TEST(PatienceTest, TheTimeoutIsThatOfAnAnswerOrOfAll) {
  const Clock::time_point start, later = start + std::chrono::seconds(10);
  Patience answer(absl::Seconds(60), 5, true, start), all(absl::Seconds(60), 5, false, start);
  answer.Asked(later);
  all.Asked(later);
  EXPECT_EQ(answer.deadline(), later + std::chrono::seconds(60));
  EXPECT_EQ(all.deadline(), start + std::chrono::seconds(60));
  EXPECT_EQ(Patience(absl::InfiniteDuration(), 5, true, start).deadline(), Clock::time_point::max());
}

TEST(SettingsTest, WhatIsOutOfRangeIsNamed) {
  const std::pair<ClientOptions, const char*> cases[] = {
      {{.target = ""}, "target: expected HOST:PORT or another address of gRPC, found nothing"},
      {{.timeout = absl::ZeroDuration()}, "timeout: expected more than 0 s, found 0 s"},
      {{.max_attempts = 0}, "max_attempts: expected 1 to 5, found 0"},
      {{.max_attempts = 6}, "max_attempts: expected 1 to 5, found 6"},
      {{.keepalive = absl::Seconds(29)}, "keepalive: expected 30 s or more, found 29 s"},
      {{.max_answer_bytes = -1}, "max_answer_bytes: expected 0 or more, found -1"},
  };
  for (const auto& [options, message] : cases) EXPECT_EQ(Check(options), absl::InvalidArgumentError(message));
  EXPECT_TRUE(Check({.timeout = absl::InfiniteDuration(), .keepalive = absl::InfiniteDuration()}).ok());
}

TEST(SettingsTest, ErrorsSayWhatToDo) {
  const Settings plain{.target = "host:1"}, tls{.target = "host:1", .is_encrypted = true};
  const auto describe = [](const Settings& settings, grpc::StatusCode code, const char* message) {
    return Describe(settings, {code, message}, absl::Seconds(0.5), {});
  };
  using enum grpc::StatusCode;
  EXPECT_EQ(
      describe(plain, UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: x: Connection refused"),
      absl::UnavailableError("cannot reach host:1 (connection refused): is midlayer-server running? start it with "
                             "midlayer-server --model=DIRECTORY, or name another target"));
  EXPECT_THAT(std::string(describe(plain, UNAVAILABLE, "last error: UNAVAILABLE: Socket closed").message()),
              HasSubstr("does it use TLS? then set tls"));
  EXPECT_THAT(std::string(describe(tls, UNAVAILABLE, "last error: Socket closed").message()),
              HasSubstr("check that it is there and uses TLS"));
  EXPECT_EQ(describe(plain, UNAVAILABLE, "shutting\ndown"),
            absl::UnavailableError("host:1 is not available (shutting down): try again later"));
  EXPECT_EQ(describe(plain, CANCELLED, "x"),
            absl::UnavailableError("host:1 is not available (it cancelled the call): try again later"));
  EXPECT_EQ(describe(plain, INTERNAL, "Received RST_STREAM with error code 2"),
            absl::UnavailableError("host:1 is not available (the call was reset): try again later"));
  EXPECT_EQ(describe(plain, DEADLINE_EXCEEDED, "x"),
            absl::DeadlineExceededError("no answer from host:1 within 0.5 s: wait longer with timeout"));
  EXPECT_EQ(describe(plain, INVALID_ARGUMENT, "layer: x"), absl::InvalidArgumentError("layer: x"));
  EXPECT_EQ(describe(plain, INTERNAL, ""), absl::InternalError("INTERNAL"));
}

TEST(RequestsTest, WhatIsNotSetIsNotSent) {
  EXPECT_EQ(ToWire(EmbedOptions())->DebugString(), "truncate: TRUNCATE_NONE\nformat: VECTOR_FORMAT_FLOAT32\n");
  const EmbedOptions options{.layer = 0, .pooling = Pooling::kMax, .normalize = false, .prompt = ""};
  EXPECT_THAT(ToWire(options)->DebugString(),
              StartsWith("layer: 0\npooling: POOLING_MAX\nnormalize: false\ntruncate: TRUNCATE_NONE\nprompt: \"\"\n"));
  EXPECT_EQ(ToWire({.prompt_name = "query", .prompt = ""}).status(),
            absl::InvalidArgumentError("prompt: expected none beside prompt_name, found both"));
}

TEST(WordsTest, AreThoseOfTheCommandLine) {
  EXPECT_EQ(WordOf(Pooling::kWeightedMean), "weighted_mean");
  EXPECT_EQ(WordOf(Pooling::kDefault), "default");
  EXPECT_EQ(WordOf(State::kNormed), "normed");
  EXPECT_EQ(WordOf(Fusion::kWeightedSum), "weighted_sum");
  EXPECT_EQ(WordOf(LayerSource::kSelection), "selection");
  EXPECT_EQ(WordOf(ServingStatus::kNotServing), "not_serving");
  EXPECT_EQ(WordOf(v1::CONFIDENCE_HIGH), "high");
  EXPECT_EQ(WordOf(v1::EVIDENCE_SELF_RETRIEVAL), "self_retrieval");
  EXPECT_EQ(WordOf(static_cast<v1::Pooling>(99)), "value 99");
}

}  // namespace
}  // namespace midlayer::internal
