// What Embed refuses, and how: through a real channel, on libtorch.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "tests/service/calls.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

struct BadRequest {
  const char* name;
  std::function<void(v1::EmbedRequest&)> change;
  StatusCode code;
  std::vector<std::string> message;  // parts of it
};

void ExpectRefused(const LiveServer& live, const std::vector<BadRequest>& table) {
  for (const BadRequest& bad : table) {
    SCOPED_TRACE(bad.name);
    v1::EmbedRequest request;
    request.add_texts("good");
    bad.change(request);
    const Outcome outcome = live.Embed(request);
    EXPECT_EQ(outcome.status.error_code(), bad.code) << outcome.status.error_message();
    for (const std::string& part : bad.message) EXPECT_THAT(outcome.status.error_message(), HasSubstr(part));
  }
  EXPECT_EQ(live.Metric("midlayer_texts_total"), 0) << "something was computed";
  v1::EmbedRequest good;
  good.add_texts("good");
  EXPECT_THAT(live.Embed(good).status, IsOk());
}

TEST(EmbedTest, RefusalsNameFieldExpectedAndFound) {
  const auto invalid = StatusCode::INVALID_ARGUMENT;
  LiveServer live({.limits = {.max_text_bytes = 1000}});
  ExpectRefused(
      live, {
                {"no texts", [](auto& r) { r.clear_texts(); }, invalid, {"texts: expected 1 to 256", "found 0"}},
                {"257 texts",
                 [](auto& r) {
                   for (int i = 0; i < 256; ++i) r.add_texts("x");
                 },
                 invalid,
                 {"texts: expected 1 to 256", "found 257"}},
                {"100,000 texts",
                 [](auto& r) {
                   for (int i = 1; i < 100000; ++i) r.add_texts("x");
                 },
                 invalid,
                 {"texts: expected 1 to 256", "found 100000"}},
                {"bytes",
                 [](auto& r) { r.add_texts(std::string(1001, 'x')); },
                 invalid,
                 {"texts[1]: expected at most 1000 bytes", "found 1001"}},
                {"prompt bytes",
                 [](auto& r) { r.set_prompt(std::string(1001, 'x')); },
                 invalid,
                 {"prompt: expected at most 1000 bytes", "found 1001"}},
                {"layer too deep",
                 [](auto& r) { r.set_layer(99); },
                 invalid,
                 {"layer: expected 0 to 3 or -4 to -1", "found 99"}},
                {"layer just too deep", [](auto& r) { r.set_layer(4); }, invalid, {"layer: ", "found 4"}},
                {"layer too far from the end",
                 [](auto& r) { r.set_layer(-9); },
                 invalid,
                 {"layer: expected 0 to 3 or -4 to -1", "found -9"}},
                {"layer just too far", [](auto& r) { r.set_layer(-5); }, invalid, {"layer: ", "found -5"}},
                {"smallest int", [](auto& r) { r.set_layer(INT32_MIN); }, invalid, {"layer: ", "found -2147483648"}},
                {"layer of an output",
                 [](auto& r) {
                   r.add_outputs()->add_layers(1);
                   r.add_outputs()->add_layers(7);
                 },
                 invalid,
                 {"outputs[1].layers: expected 0 to 3", "found 7"}},
                {"pooling",
                 [](auto& r) { r.set_pooling(static_cast<v1::Pooling>(17)); },
                 invalid,
                 {"pooling: expected a Pooling", "found 17"}},
                {"state",
                 [](auto& r) { r.set_state(static_cast<v1::State>(9)); },
                 invalid,
                 {"state: expected a State", "found 9"}},
                {"fusion",
                 [](auto& r) { r.add_outputs()->set_fusion(static_cast<v1::Fusion>(-3)); },
                 invalid,
                 {"outputs[0].fusion: expected a Fusion", "found -3"}},
                {"fusion of one layer",
                 [](auto& r) {
                   r.add_outputs()->add_layers(1);
                   r.mutable_outputs(0)->set_fusion(v1::FUSION_MEAN);
                 },
                 invalid,
                 {"outputs[0].fusion: expected two or more layers", "found 1"}},
                {"truncate",
                 [](auto& r) { r.set_truncate(static_cast<v1::Truncate>(5)); },
                 invalid,
                 {"truncate: expected a Truncate", "found 5"}},
                {"format",
                 [](auto& r) { r.set_format(static_cast<v1::VectorFormat>(50)); },
                 invalid,
                 {"format: expected a VectorFormat", "found 50"}},
                {"priority",
                 [](auto& r) { r.set_priority(static_cast<v1::Priority>(8)); },
                 invalid,
                 {"priority: expected a Priority", "found 8"}},
                {"dimensions",
                 [](auto& r) { r.set_dimensions(33); },
                 invalid,
                 {"dimensions: expected at most 32", "found 33"}},
                {"most dimensions",
                 [](auto& r) { r.set_dimensions(UINT32_MAX); },
                 invalid,
                 {"dimensions: expected at most 32", "found 4294967295"}},
                {"dense of a model without",
                 [](auto& r) { r.add_outputs()->set_dense(true); },
                 invalid,
                 {"outputs[0].dense: expected false", "found true"}},
                {"weights",
                 [](auto& r) {
                   r.add_outputs()->add_layers(1);
                   r.mutable_outputs(0)->add_layers(2);
                   r.mutable_outputs(0)->set_fusion(v1::FUSION_WEIGHTED_SUM);
                   r.mutable_outputs(0)->add_weights(1);
                 },
                 invalid,
                 {"outputs[0].weights: expected 2", "found 1"}},
                {"weights that are none",
                 [](auto& r) {
                   r.add_outputs()->add_layers(1);
                   r.mutable_outputs(0)->add_layers(2);
                   r.mutable_outputs(0)->set_fusion(v1::FUSION_WEIGHTED_SUM);
                   r.mutable_outputs(0)->add_weights(1);
                   r.mutable_outputs(0)->add_weights(NAN);
                 },
                 invalid,
                 {"outputs[0].weights: expected finite numbers", "found nan"}},
                {"short form beside the long one",
                 [](auto& r) {
                   r.add_outputs()->add_layers(1);
                   r.set_layer(1);
                 },
                 invalid,
                 {"outputs: expected layer, pooling", "unset beside them", "found one"}},
                {"65 outputs",
                 [](auto& r) {
                   for (int i = 0; i < 65; ++i) r.add_outputs();
                 },
                 invalid,
                 {"outputs: expected at most 64", "found 65"}},
                {"prompt name of a model without",
                 [](auto& r) { r.set_prompt_name("query"); },
                 invalid,
                 {"prompt_name: expected no name", "found \"query\""}},
                {"selection",
                 [](auto& r) { r.set_expected_selection_id("s1"); },
                 StatusCode::FAILED_PRECONDITION,
                 {"expected_selection_id: expected \"s1\"", "found none"}},
                {"fingerprint",
                 [&](auto& r) {
                   r.set_layer(2);
                   r.set_expected_model_fingerprint(live.info().fingerprints[1]);
                 },
                 StatusCode::FAILED_PRECONDITION,
                 {"expected_model_fingerprint: expected \"" + live.info().fingerprints[1],
                  "found \"" + live.info().fingerprints[2]}},
            });
}

TEST(EmbedTest, TheExpectedFingerprintIsAccepted) {
  LiveServer live;
  v1::EmbedRequest request = MeanOf(2, {"x"});
  request.set_expected_model_fingerprint(live.info().fingerprints[2]);
  EXPECT_THAT(live.Embed(request).status, IsOk());
}

TEST(EmbedTest, RefusalsNameWhatTheModelHas) {
  LiveServer live({.model = "sentence", .max_layer = 1});
  ExpectRefused(live, {
                          {"prompt name",
                           [](auto& r) { r.set_prompt_name("title"); },
                           StatusCode::INVALID_ARGUMENT,
                           {"prompt_name: expected one of passage query", "found \"title\""}},
                          {"empty prompt name",
                           [](auto& r) { r.set_prompt_name(""); },
                           StatusCode::INVALID_ARGUMENT,
                           {"prompt_name: expected one of passage query", "found \"\""}},
                          {"layer that is not loaded",
                           [](auto& r) { r.set_layer(2); },
                           StatusCode::INVALID_ARGUMENT,
                           {"layer: expected 0 to 1 or -4 to -3 (of 3 layers only these are loaded", "found 2"}},
                          {"last layer, not loaded",
                           [](auto& r) { r.set_layer(-1); },
                           StatusCode::INVALID_ARGUMENT,
                           {"layer: expected 0 to 1", "found -1"}},
                      });
}

TEST(EmbedTest, ATextOfTenMegabytesIsRefusedUnderTheDefaultLimits) {
  LiveServer live;
  v1::EmbedRequest request;
  request.add_texts("good");
  request.add_texts(std::string(10'000'000, 'x'));
  EXPECT_THAT(live.Embed(request).status,
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("texts[1]: expected at most 1048576 bytes, found "
                                                               "10000000")));
}

TEST(EmbedTest, TheLargestTextAllowedIsTruncatedInTime) {
  LiveServer live;
  v1::EmbedRequest request = MeanOf(1, {std::string(1 << 20, 'a')});
  request.mutable_texts(0)->replace(1000, std::string::npos, [] {
    std::string words;
    while (words.size() < (1 << 20) - 1000 - 2) words += "a ";
    return words;
  }());
  request.set_truncate(v1::TRUNCATE_RIGHT);
  const Outcome outcome = live.Embed(request);
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.response.embeddings(0).tokens(), 66U);
  EXPECT_TRUE(outcome.response.embeddings(0).truncated());
}

TEST(EmbedTest, AMessageOverTheLimitIsRefused) {
  LiveServer live({.max_message_bytes = 2000});
  EXPECT_THAT(live.Embed(MeanOf(1, {std::string(3000, 'x')})).status,
              IsStatus(StatusCode::RESOURCE_EXHAUSTED, HasSubstr("2000")));
  EXPECT_THAT(live.Embed(MeanOf(1, {"x"})).status, IsOk());
}

TEST(EmbedTest, StringsThatAreNotUtf8AreNamed) {
  google::protobuf::LogSilencer quiet;  // protobuf would print what the answer says
  LiveServer live;
  const std::string method = "/midlayer.v1.EmbeddingService/Embed";
  // Fields by hand: tag (number << 3 | 2), length, bytes.
  EXPECT_THAT(SendRaw(live, method,
                      "\x0A\x02ok\x0A\x03"
                      "a\xC3("
                      "\x0A\x02ok"),
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("texts[1]: expected UTF-8, found a byte that is none at "
                                                               "offset 1")));
  EXPECT_THAT(SendRaw(live, method, "\x0A\x02ok\x52\x01\xFF"),  // prompt
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("prompt: expected UTF-8")));
  // A surrogate and an overlong slash are no UTF-8 either.
  EXPECT_THAT(SendRaw(live, method, "\x0A\x03\xED\xA0\x80"),
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("texts[0]: expected UTF-8")));
  EXPECT_THAT(SendRaw(live, method, "\x0A\x02\xC0\xAF"),
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("texts[0]: expected UTF-8")));
  EXPECT_THAT(
      SendRaw(live, method, "\x0A\xFF no message"),
      IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("expected a message as in midlayer/v1/embedding.proto")));
  EXPECT_THAT(live.Embed(MeanOf(1, {"ok"})).status, IsOk());
}

// "a" and "b" are a token each; [CLS] and [SEP] stand around them.
std::string Repeat(const std::string& word, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += word + " ";
  return text;
}

TEST(EmbedTest, ATextOfTooManyTokensIsRefusedOrTruncatedAsAsked) {
  LiveServer live;
  const std::string text = Repeat("a", 64) + Repeat("b", 64);
  v1::EmbedRequest request = MeanOf(2, {"good", text});
  EXPECT_THAT(live.Embed(request).status,
              IsStatus(StatusCode::INVALID_ARGUMENT,
                       AllOf(HasSubstr("texts[1]: expected at most 66 tokens"), HasSubstr("found 130"))));
  const Outcome ends = live.Embed(MeanOf(2, {Repeat("a", 64), Repeat("b", 64)}));
  ASSERT_THAT(ends.status, IsOk());
  for (const auto& [truncate, end] : {std::pair(v1::TRUNCATE_RIGHT, 0), std::pair(v1::TRUNCATE_LEFT, 1)}) {
    request.set_truncate(truncate);
    const Outcome outcome = live.Embed(request);
    ASSERT_THAT(outcome.status, IsOk());
    EXPECT_FALSE(outcome.response.embeddings(0).truncated());
    EXPECT_TRUE(outcome.response.embeddings(1).truncated());
    EXPECT_EQ(outcome.response.embeddings(1).tokens(), 66U);
    EXPECT_THAT(Values(outcome.response.embeddings(1).vectors(0)),
                Pointwise(FloatNear(1e-5F), Values(ends.response.embeddings(end).vectors(0))));
  }
}

}  // namespace
}  // namespace midlayer
