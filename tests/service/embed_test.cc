// What Embed answers, through a real channel, on libtorch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/calls.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

constexpr float kTolerance = 1e-4F;  // to transformers, float32, absolute

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

}  // namespace
}  // namespace midlayer
