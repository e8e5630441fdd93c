// Embed, GetModel and the server around them, through a real channel, on libtorch.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <future>

#include "absl/strings/match.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"
#include "tests/service/live_server.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr float kTolerance = 1e-4F;  // to transformers, float32, absolute

MATCHER_P2(IsStatus, code, message, "") {
  *result_listener << "code " << arg.error_code() << ": " << arg.error_message();
  return arg.error_code() == code && testing::Matches(message)(arg.error_message());
}

MATCHER(IsOk, "") {
  *result_listener << "code " << arg.error_code() << ": " << arg.error_message();
  return arg.ok();
}

// A call of Embed under way on its own thread.
std::future<Outcome> Start(const LiveServer& live, v1::EmbedRequest request) {
  return std::async(std::launch::async, [&live, request = std::move(request)] { return live.Embed(request); });
}

// Closes the gate and has one request, "plug", hold the device behind it.
std::future<Outcome> HoldDevice(LiveServer& live) {
  live.gate().Close();
  std::future<Outcome> plug = Start(live, MeanOf(1, {"plug"}));
  EXPECT_TRUE(Eventually([&] { return live.gate().Saw("plug"); }));
  return plug;
}

grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Sends `bytes` as they are, also where protobuf would refuse to; the answer's bytes go to `answer`.
grpc::Status SendRaw(const LiveServer& live, const std::string& method, const std::string& bytes,
                     std::string* answer = nullptr) {
  grpc::GenericStub stub(live.channel());
  const auto context = NewContext();
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(context.get(), method, Bytes(bytes), &queue);
  call->StartCall();
  grpc::ByteBuffer buffer;
  grpc::Status status;
  call->Finish(&buffer, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  std::vector<grpc::Slice> slices;
  if (answer != nullptr && status.ok() && buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) answer->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return status;
}

// What the layer and the pooling should give, normalised.
std::vector<float> Normalized(std::vector<float> values) {
  double squares = 0;
  for (float value : values) squares += static_cast<double>(value) * value;
  for (float& value : values) value = static_cast<float>(value / std::sqrt(squares));
  return values;
}

TEST(EmbedTest, EveryLayerEqualsTransformersInOrderAndSaysWhatItIs) {
  LiveServer live;
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  for (int layer = 0; layer <= 3; ++layer) {
    const Outcome outcome = live.Embed(MeanOf(layer, GoldenTexts()));
    ASSERT_THAT(outcome.status, IsOk());
    const v1::EmbedResponse& response = outcome.response;
    ASSERT_EQ(response.embeddings_size(), 6);
    for (int text = 0; text < 6; ++text) {
      const v1::Embedding& embedding = response.embeddings(text);
      ASSERT_EQ(embedding.vectors_size(), 1);
      EXPECT_THAT(Values(embedding.vectors(0)),
                  Pointwise(FloatNear(kTolerance), GoldenRow("bert", absl::StrCat("pooled.raw.mean.", layer), text)))
          << "layer " << layer << ", text " << text;
      EXPECT_FALSE(embedding.truncated());
    }
    EXPECT_EQ(response.embeddings(5).tokens(), 2U);  // [CLS] [SEP]
    ASSERT_EQ(response.outputs_size(), 1);
    EXPECT_THAT(response.outputs(0).layers(), ElementsAre(layer));
    EXPECT_EQ(response.outputs(0).pooling(), v1::POOLING_MEAN);
    EXPECT_EQ(response.outputs(0).state(), v1::STATE_RAW);
    EXPECT_EQ(response.outputs(0).fusion(), v1::FUSION_UNSPECIFIED);
    EXPECT_FALSE(response.outputs(0).normalized());
    EXPECT_EQ(response.outputs(0).dimensions(), 32U);
    EXPECT_FALSE(response.outputs(0).dense());
    EXPECT_EQ(response.outputs(0).layer_source(), v1::LAYER_SOURCE_REQUEST);
    EXPECT_EQ(response.format(), v1::VECTOR_FORMAT_FLOAT32);
    EXPECT_EQ(response.selection_id(), "");
    ASSERT_EQ(model.fingerprints_size(), 4);
    EXPECT_EQ(response.model_fingerprint(), model.fingerprints(layer));
    EXPECT_GT(response.timing().forward_seconds(), 0);
    EXPECT_GT(response.timing().tokenize_seconds(), 0);
  }
}

TEST(EmbedTest, AnEmptyRequestTakesTheDefaults) {
  LiveServer live;
  v1::EmbedRequest request;
  request.add_texts(GoldenTexts()[0]);
  const Outcome outcome = live.Embed(request);
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_THAT(Values(outcome.response.embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), Normalized(GoldenRow("bert", "pooled.raw.mean.3", 0))));
  EXPECT_THAT(outcome.response.outputs(0).layers(), ElementsAre(3));
  EXPECT_EQ(outcome.response.outputs(0).layer_source(), v1::LAYER_SOURCE_DEFAULT);
  EXPECT_TRUE(outcome.response.outputs(0).normalized());
}

TEST(EmbedTest, ManyTextsOfManyBatchesKeepTheirOrder) {
  LiveServer live({.engine = {.batch_tokens = 100, .tokenizer_threads = 2}});
  std::vector<std::string> texts;
  for (int i = 0; i < 256; ++i) texts.push_back(GoldenTexts()[(i * i + i / 3) % 6]);
  const Outcome outcome = live.Embed(MeanOf(2, texts));
  ASSERT_THAT(outcome.status, IsOk());
  ASSERT_EQ(outcome.response.embeddings_size(), 256);
  EXPECT_LT(live.gate().largest_batch(), 256U);
  for (int i = 0; i < 256; ++i) {
    EXPECT_THAT(Values(outcome.response.embeddings(i).vectors(0)),
                Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.2", (i * i + i / 3) % 6)))
        << "text " << i;
  }
}

v1::OutputSpec Output(const std::vector<int>& layers, v1::Pooling pooling) {
  v1::OutputSpec output;
  for (int layer : layers) output.add_layers(layer);
  output.set_pooling(pooling);
  return output;
}

TEST(EmbedTest, SeveralOutputsOfOnePassEqualTheSameAskedSingly) {
  LiveServer live({.model = "roberta_prelayernorm"});
  std::vector<v1::OutputSpec> outputs = {Output({1}, v1::POOLING_CLS), Output({-1}, v1::POOLING_MEAN),
                                         Output({0}, v1::POOLING_MAX), Output({2}, v1::POOLING_WEIGHTED_MEAN),
                                         Output({1, 3}, v1::POOLING_LAST)};
  outputs[3].set_state(v1::STATE_NORMED);
  outputs[0].set_dimensions(7);
  outputs[4].set_normalize(false);
  v1::OutputSpec weighted = Output({0, 1, 2}, v1::POOLING_MEAN);
  weighted.set_fusion(v1::FUSION_WEIGHTED_SUM);
  for (float weight : {0.5F, -2.0F, 0.25F}) weighted.add_weights(weight);
  outputs.push_back(weighted);
  v1::EmbedRequest all;
  for (const std::string& text : GoldenTexts()) all.add_texts(text);
  for (const v1::OutputSpec& output : outputs) *all.add_outputs() = output;
  const Outcome together = live.Embed(all);
  ASSERT_THAT(together.status, IsOk());
  const std::vector<size_t> dimensions = {7, 32, 32, 32, 64, 32};
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    v1::EmbedRequest one = all;
    one.clear_outputs();
    *one.add_outputs() = outputs[i];
    const Outcome singly = live.Embed(one);
    ASSERT_THAT(singly.status, IsOk());
    EXPECT_EQ(together.response.outputs(i).DebugString(), singly.response.outputs(0).DebugString());
    for (int text = 0; text < all.texts_size(); ++text) {
      EXPECT_EQ(Values(together.response.embeddings(text).vectors(i)).size(), dimensions[i]);
      EXPECT_THAT(Values(together.response.embeddings(text).vectors(i)),
                  Pointwise(FloatNear(1e-6F), Values(singly.response.embeddings(text).vectors(0))))
          << "output " << i << ", text " << text;
    }
  }
}

TEST(EmbedTest, ShortAndLongFormAgree) {
  LiveServer live;
  v1::EmbedRequest short_form = MeanOf(-2, GoldenTexts());
  short_form.set_pooling(v1::POOLING_WEIGHTED_MEAN);
  short_form.set_state(v1::STATE_NORMED);
  short_form.set_normalize(true);
  short_form.set_dimensions(9);
  v1::EmbedRequest long_form;
  *long_form.mutable_texts() = short_form.texts();
  v1::OutputSpec* output = long_form.add_outputs();
  output->add_layers(2);
  output->set_pooling(v1::POOLING_WEIGHTED_MEAN);
  output->set_state(v1::STATE_NORMED);
  output->set_dimensions(9);
  Outcome a = live.Embed(short_form), b = live.Embed(long_form);
  ASSERT_THAT(a.status, IsOk());
  a.response.clear_timing();
  b.response.clear_timing();
  EXPECT_EQ(a.response.DebugString(), b.response.DebugString());
  EXPECT_EQ(a.response.embeddings(0).vectors(0).values_size(), 9);
}

TEST(EmbedTest, TheNormedStateIsTheFinalNormOfTheLayer) {
  LiveServer live({.model = "roberta_prelayernorm"});
  for (int layer = 0; layer <= 3; ++layer) {
    v1::EmbedRequest request = MeanOf(layer, GoldenTexts());
    request.set_state(v1::STATE_NORMED);
    const Outcome outcome = live.Embed(request);
    ASSERT_THAT(outcome.status, IsOk());
    EXPECT_EQ(outcome.response.outputs(0).state(), v1::STATE_NORMED);
    EXPECT_THAT(Values(outcome.response.embeddings(1).vectors(0)),
                Pointwise(FloatNear(kTolerance),
                          GoldenRow("roberta_prelayernorm", absl::StrCat("pooled.normed.mean.", layer), 1)));
  }
}

TEST(EmbedTest, PromptsAndDenseModulesEqualSentenceTransformers) {
  LiveServer live({.model = "sentence"});
  v1::EmbedRequest request;
  for (const std::string& text : GoldenTexts()) request.add_texts(text);
  request.set_truncate(v1::TRUNCATE_RIGHT);
  const auto expect_golden = [&](const std::string& name) {
    const Outcome outcome = live.Embed(request);
    ASSERT_THAT(outcome.status, IsOk());
    EXPECT_TRUE(outcome.response.outputs(0).dense());
    EXPECT_EQ(outcome.response.outputs(0).dimensions(), 16U);
    EXPECT_EQ(outcome.response.outputs(0).pooling(), v1::POOLING_WEIGHTED_MEAN);
    for (int text = 0; text < 6; ++text) {
      EXPECT_THAT(Values(outcome.response.embeddings(text).vectors(0)),
                  Pointwise(FloatNear(kTolerance), GoldenRow("sentence", name, text)))
          << name << ", text " << text;
    }
  };
  expect_golden("embeddings");
  request.set_prompt_name("query");
  expect_golden("embeddings.query");
  request.set_prompt("query: ");
  expect_golden("embeddings.query");
  request.set_prompt("");
  expect_golden("embeddings");
}

// NUL ends no text: BERT's tokenizer drops it, so the text with NULs is the text without.
TEST(EmbedTest, NulBytesAndEmptyTextsAmongOthersGiveRightVectors) {
  LiveServer live;
  const std::string with_nul("\0Lay\0ers of a small\0 model.\0", 28);
  const Outcome outcome = live.Embed(MeanOf(3, {GoldenTexts()[1], "", with_nul, "", GoldenTexts()[4]}));
  ASSERT_THAT(outcome.status, IsOk());
  const std::vector<size_t> golden = {1, 5, 0, 5, 4};
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Values(outcome.response.embeddings(i).vectors(0)),
                Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.3", golden[i])))
        << "text " << i;
  }
}

float HalfToFloat(uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

float BfloatToFloat(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

uint16_t TwoBytes(const std::string& data, size_t i) {
  return static_cast<uint16_t>(static_cast<uint8_t>(data[2 * i]) | static_cast<uint8_t>(data[2 * i + 1]) << 8);
}

TEST(EmbedTest, EveryFormatIsCloseToFloat32) {
  LiveServer live;
  v1::EmbedRequest request;
  request.add_texts(GoldenTexts()[1]);
  request.set_layer(2);
  const std::vector<float> exact = Values(live.Embed(request).response.embeddings(0).vectors(0));
  ASSERT_EQ(exact.size(), 32U);
  const auto encoded = [&](v1::VectorFormat format) {
    request.set_format(format);
    const Outcome outcome = live.Embed(request);
    EXPECT_THAT(outcome.status, IsOk());
    EXPECT_EQ(outcome.response.format(), format);
    EXPECT_EQ(outcome.response.embeddings(0).vectors(0).values_size(), 0);
    return outcome.response.embeddings(0).vectors(0);
  };
  const v1::Vector half = encoded(v1::VECTOR_FORMAT_FLOAT16), bfloat = encoded(v1::VECTOR_FORMAT_BFLOAT16);
  const v1::Vector int8 = encoded(v1::VECTOR_FORMAT_INT8), binary = encoded(v1::VECTOR_FORMAT_BINARY);
  ASSERT_EQ(half.data().size(), 64U);
  ASSERT_EQ(bfloat.data().size(), 64U);
  ASSERT_EQ(int8.data().size(), 32U);
  ASSERT_EQ(binary.data().size(), 4U);
  int largest = 0;
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_NEAR(HalfToFloat(TwoBytes(half.data(), i)), exact[i], std::fabs(exact[i]) / 2048 + 1e-7);
    EXPECT_NEAR(BfloatToFloat(TwoBytes(bfloat.data(), i)), exact[i], std::fabs(exact[i]) / 256 + 1e-7);
    const int level = static_cast<int8_t>(int8.data()[i]);
    EXPECT_NEAR(static_cast<float>(level) * int8.scale(), exact[i], int8.scale() / 2 + 1e-6);
    largest = std::max(largest, std::abs(level));
    const bool bit = (static_cast<uint8_t>(binary.data()[i / 8]) & (0x80 >> (i % 8))) != 0;
    EXPECT_EQ(bit, exact[i] > 0) << i;
  }
  EXPECT_EQ(largest, 127);
}

// --- What is refused, and how. ---

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
                 {"expected_selection_id: expected \"s1\"", "found no promoted selection"}},
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

// --- Overload, deadlines, cancelling. ---

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

// --- The server around it. ---

TEST(GetModelTest, TellsTheModelAndTheLimits) {
  LiveServer live({.limits = {.max_texts = 7, .max_text_bytes = 77}});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_EQ(model.name(), "bert");
  EXPECT_EQ(model.architecture(), "bert");
  EXPECT_EQ(model.layers(), 3);
  EXPECT_EQ(model.max_layer(), 3);
  EXPECT_EQ(model.hidden_size(), 32);
  EXPECT_EQ(model.max_tokens(), 66);
  EXPECT_EQ(model.default_pooling(), v1::POOLING_MEAN);
  EXPECT_FALSE(model.has_final_norm());
  EXPECT_EQ(model.dense_dimensions(), 0);
  EXPECT_EQ(model.prompts_size(), 0);
  EXPECT_EQ(model.default_prompt_name(), "");
  EXPECT_EQ(model.dtype(), "float32");
  EXPECT_EQ(model.device(), "cpu");
  EXPECT_FALSE(model.has_selection());
  EXPECT_EQ(model.max_texts(), 7);
  EXPECT_EQ(model.max_text_bytes(), 77);
  EXPECT_EQ(model.server_version(), kVersion);
  EXPECT_EQ(std::vector<std::string>(model.fingerprints().begin(), model.fingerprints().end()),
            live.info().fingerprints);
  for (const std::string& fingerprint : model.fingerprints()) {
    EXPECT_THAT(fingerprint, testing::MatchesRegex("[0-9a-f]{64}"));
  }
}

TEST(GetModelTest, TellsWhatSentenceTransformersAdds) {
  LiveServer live({.model = "sentence"});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_EQ(model.max_tokens(), 24);
  EXPECT_EQ(model.default_pooling(), v1::POOLING_WEIGHTED_MEAN);
  EXPECT_EQ(model.dense_dimensions(), 16);
  EXPECT_THAT(model.prompts(), testing::SizeIs(2));
  EXPECT_EQ(model.prompts().at("query"), "query: ");
}

TEST(GetModelTest, TellsTheFinalNorm) {
  LiveServer live({.model = "roberta_prelayernorm"});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_TRUE(model.has_final_norm());
}

TEST(GetModelTest, AServerOfFewerLayersHasTheSameFingerprintsAndVectors) {
  LiveServer full, cut({.max_layer = 1});
  v1::GetModelResponse of_full, of_cut;
  ASSERT_THAT(full.stub().GetModel(NewContext().get(), {}, &of_full), IsOk());
  ASSERT_THAT(cut.stub().GetModel(NewContext().get(), {}, &of_cut), IsOk());
  EXPECT_EQ(of_cut.layers(), 3);
  EXPECT_EQ(of_cut.max_layer(), 1);
  EXPECT_THAT(of_cut.fingerprints(), ElementsAre(of_full.fingerprints(0), of_full.fingerprints(1)));
  const Outcome a = full.Embed(MeanOf(1, GoldenTexts())), b = cut.Embed(MeanOf(-3, GoldenTexts()));
  ASSERT_THAT(b.status, IsOk());
  EXPECT_EQ(a.response.model_fingerprint(), b.response.model_fingerprint());
  EXPECT_EQ(Values(a.response.embeddings(1).vectors(0)), Values(b.response.embeddings(1).vectors(0)));
}

TEST(ServerTest, WhatIsNotThereYetSaysSo) {
  LiveServer live;
  const auto says_so = [](const std::string& method) {
    return IsStatus(StatusCode::UNIMPLEMENTED,
                    AllOf(HasSubstr(method), HasSubstr("not in midlayer " + std::string(kVersion))));
  };
  const auto selections = v1::SelectionService::NewStub(live.channel());
  v1::ListSelectionsResponse list;
  v1::GetSelectionResponse get;
  v1::PromoteSelectionResponse promote;
  v1::DeleteSelectionResponse remove;
  EXPECT_THAT(selections->ListSelections(NewContext().get(), {}, &list), says_so("ListSelections"));
  EXPECT_THAT(selections->GetSelection(NewContext().get(), {}, &get), says_so("GetSelection"));
  EXPECT_THAT(selections->PromoteSelection(NewContext().get(), {}, &promote), says_so("PromoteSelection"));
  EXPECT_THAT(selections->DeleteSelection(NewContext().get(), {}, &remove), says_so("DeleteSelection"));
  const auto scoring = v1::ScoringService::NewStub(live.channel());
  const auto context = NewContext();
  const auto stream = scoring->ScoreLayers(context.get());
  v1::ScoreLayersResponse answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_THAT(stream->Finish(), says_so("ScoreLayers"));
}

grpc::health::v1::HealthCheckResponse::ServingStatus HealthOf(const LiveServer& live, const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(live.channel())->Check(NewContext().get(), request, &response);
  if (status.error_code() == StatusCode::NOT_FOUND) return grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN;
  EXPECT_THAT(status, IsOk());
  return response.status();
}

TEST(ServerTest, HealthIsToldOverallAndByService) {
  using Response = grpc::health::v1::HealthCheckResponse;
  LiveServer live;
  EXPECT_EQ(HealthOf(live, ""), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.EmbeddingService"), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.ScoringService"), Response::NOT_SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.SelectionService"), Response::NOT_SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.NoService"), Response::SERVICE_UNKNOWN);
}

// grpcurl and its like see the services and their messages without the .proto files.
TEST(ServerTest, ReflectionListsAndDescribesEveryService) {
  LiveServer live;
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  std::string services;
  ASSERT_THAT(SendRaw(live, method, std::string("\x3A\x00", 2), &services), IsOk());  // list_services
  for (const std::string service : {"midlayer.v1.EmbeddingService", "midlayer.v1.ScoringService",
                                    "midlayer.v1.SelectionService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, HasSubstr(service));
    std::string file;
    const std::string asked = absl::StrCat("\x22", std::string(1, static_cast<char>(service.size())), service);
    ASSERT_THAT(SendRaw(live, method, asked, &file), IsOk());  // file_containing_symbol
    EXPECT_THAT(file, HasSubstr(".proto")) << service;
  }
}

TEST(ServerTest, CountsCallsByMethodAndCode) {
  LiveServer live;
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(live.Embed(MeanOf(2, GoldenTexts())).status, IsOk());
  for (int i = 0; i < 2; ++i) live.Embed(MeanOf(99, {"x"}));
  v1::EmbedRequest pinned = MeanOf(1, {"x"});
  pinned.set_expected_selection_id("none");
  live.Embed(pinned);
  EXPECT_EQ(live.Ended("GetModel", "OK"), 1);
  EXPECT_EQ(live.Ended("Embed", "OK"), 3);
  EXPECT_EQ(live.Ended("Embed", "INVALID_ARGUMENT"), 2);
  EXPECT_EQ(live.Ended("Embed", "FAILED_PRECONDITION"), 1);
  EXPECT_EQ(live.Metric("midlayer_request_duration_seconds", {{"method", "Embed"}}), 6);
  EXPECT_EQ(live.Metric("midlayer_rejected_total", {{"reason", "invalid"}}), 2);
  EXPECT_EQ(live.Metric("midlayer_embed_duration_seconds", {{"layer", "2"}, {"pooling", "mean"}}), 3);
  EXPECT_EQ(live.Metric("midlayer_texts_total"), 18);
  const v1::EmbedResponse response = live.Embed(MeanOf(2, {GoldenTexts()[1]})).response;
  const double before = live.Metric("midlayer_tokens_total");
  ASSERT_THAT(live.Embed(MeanOf(2, {GoldenTexts()[1]})).status, IsOk());
  EXPECT_EQ(live.Metric("midlayer_tokens_total") - before, response.embeddings(0).tokens());
}

TEST(ServerTest, AnAddressInUseIsRefused) {
  LiveServer live;
  const auto second = Server::Start({.listen = live.server().address()}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("--listen: expected an address"), HasSubstr(live.server().address())));
}

TEST(ShutdownTest, AnswersWhatIsUnderWayAndRefusesTheRest) {
  LiveServer live;
  // Watches health on a connection of its own, as load balancers do.
  const auto health = grpc::health::v1::Health::NewStub(live.NewChannel());
  const auto watch_context = NewContext();
  const auto watch = health->Watch(watch_context.get(), {});
  grpc::health::v1::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  ASSERT_EQ(seen.status(), grpc::health::v1::HealthCheckResponse::SERVING);

  std::future<Outcome> plug = HoldDevice(live);
  std::future<Outcome> waiting = Start(live, MeanOf(2, {GoldenTexts()[1]}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 2; }));
  std::future<void> shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Seconds(60)); });
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  // The listener closes a moment after health says so.
  grpc::Status refused;
  ASSERT_TRUE(Eventually([&] {
    v1::GetModelResponse model;
    refused = v1::EmbeddingService::NewStub(live.NewChannel())->GetModel(NewContext().get(), {}, &model);
    return !refused.ok();
  }));
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE) << refused.error_message();
  EXPECT_EQ(live.Embed(MeanOf(1, {"new"})).status.error_code(), StatusCode::UNAVAILABLE);
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  const Outcome answered = waiting.get();
  ASSERT_THAT(answered.status, IsOk());
  EXPECT_THAT(Values(answered.response.embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.2", 1)));
  EXPECT_FALSE(live.gate().Saw("new"));
  watch_context->TryCancel();
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

// Load balancers watch health for as long as they live.
TEST(ShutdownTest, WhoWatchesHealthDoesNotKeepTheServerFromEnding) {
  LiveServer live;
  const auto health = grpc::health::v1::Health::NewStub(live.NewChannel());
  const auto context = NewContext();
  const auto watch = health->Watch(context.get(), {});
  grpc::health::v1::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  auto shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Seconds(30)); });
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  context->TryCancel();
}

TEST(ShutdownTest, CallsThatOutlastTheDrainAreCancelled) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  std::future<void> shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Milliseconds(100)); });
  EXPECT_FALSE(plug.get().status.ok());  // while the device is still held
  live.gate().Open();
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace midlayer
