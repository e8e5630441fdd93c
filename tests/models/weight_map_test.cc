#include "server/models/weight_map.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/models/description.h"
#include "tests/models/model_copy.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using Tensors = std::map<std::string, TensorView>;

// A golden model, its headers only. `tensors` is a copy that a test may spoil.
struct Golden {
  explicit Golden(const char* name)
      : model(DescribeModel(GoldenModel(name)).value()),
        files(WeightFiles::Open(GoldenModel(name)).value()),
        tensors(files.tensors()) {}

  absl::StatusOr<BoundWeights> BindUpTo(int max_layer) const {
    return Bind(model.architecture->weight_map(), model.arch, tensors, max_layer);
  }

  ModelDescription model;
  WeightFiles files;
  Tensors tensors;
};

constexpr const char* kGoldens[] = {
    "bert",        "bert_pretraining", "bert_sharded",         "roberta",  "distilbert",
    "mpnet",       "camembert",        "roberta_prelayernorm", "sentence", "sentence_v6",
    "xlm_roberta", "bert_float16",     "bert_bfloat16"};

// Slots that a model of this kind has, with its embeddings and norms told apart from the per-block ones by hand.
std::set<Param> AllParams(const ArchSpec& arch, int max_layer) {
  std::set<Param> all = {
      {Slot::kWordEmbedding}, {Slot::kPositionEmbedding}, {Slot::kEmbeddingNorm}, {Slot::kEmbeddingNorm, true}};
  if (arch.model_type != "distilbert" && arch.model_type != "mpnet") all.insert({Slot::kTokenTypeEmbedding});
  if (arch.model_type == "mpnet") all.insert({Slot::kRelativeBias});
  if (arch.model_type == "roberta-prelayernorm") {
    all.insert({Slot::kFinalNorm});
    all.insert({Slot::kFinalNorm, true});
  }
  for (int layer = 1; layer <= max_layer; ++layer) {
    for (Slot slot : {Slot::kQuery, Slot::kKey, Slot::kValue, Slot::kAttentionOut, Slot::kAttentionNorm, Slot::kMlpUp,
                      Slot::kMlpDown, Slot::kMlpNorm}) {
      all.insert({slot, false, layer});
      all.insert({slot, true, layer});
    }
  }
  return all;
}

TEST(BindTest, GoldenModelsAreBoundCompletely) {
  for (const char* name : kGoldens) {
    const Golden golden(name);
    for (int max_layer : {3, 2, 1, 0}) {
      SCOPED_TRACE(std::string(name) + " up to " + std::to_string(max_layer));
      const auto bound = golden.BindUpTo(max_layer);
      ASSERT_TRUE(bound.ok()) << bound.status();
      std::set<Param> params;
      std::set<const TensorView*> views;
      for (const auto& [param, tensor] : *bound) {
        params.insert(param);
        views.insert(tensor.view);
      }
      EXPECT_TRUE(params == AllParams(golden.model.arch, max_layer)) << params.size() << " parameters";
      EXPECT_EQ(views.size(), params.size()) << "a tensor serves two places";
    }
  }
}

// Names as the checkpoints have them, so that no two places are mixed up. Block 2 is number 1 there.
TEST(BindTest, EveryPlaceGetsItsTensor) {
  const struct {
    const char* golden;
    std::vector<std::pair<Param, const char*>> names;
  } cases[] = {
      {"bert",
       {{{Slot::kWordEmbedding}, "embeddings.word_embeddings.weight"},
        {{Slot::kPositionEmbedding}, "embeddings.position_embeddings.weight"},
        {{Slot::kTokenTypeEmbedding}, "embeddings.token_type_embeddings.weight"},
        {{Slot::kEmbeddingNorm}, "embeddings.LayerNorm.weight"},
        {{Slot::kEmbeddingNorm, true}, "embeddings.LayerNorm.bias"},
        {{Slot::kQuery, false, 2}, "encoder.layer.1.attention.self.query.weight"},
        {{Slot::kQuery, true, 2}, "encoder.layer.1.attention.self.query.bias"},
        {{Slot::kKey, false, 2}, "encoder.layer.1.attention.self.key.weight"},
        {{Slot::kValue, false, 2}, "encoder.layer.1.attention.self.value.weight"},
        {{Slot::kAttentionOut, false, 2}, "encoder.layer.1.attention.output.dense.weight"},
        {{Slot::kAttentionNorm, false, 2}, "encoder.layer.1.attention.output.LayerNorm.weight"},
        {{Slot::kMlpUp, false, 2}, "encoder.layer.1.intermediate.dense.weight"},
        {{Slot::kMlpDown, false, 2}, "encoder.layer.1.output.dense.weight"},
        {{Slot::kMlpNorm, false, 2}, "encoder.layer.1.output.LayerNorm.weight"}}},
      {"bert_pretraining",
       {{{Slot::kWordEmbedding}, "bert.embeddings.word_embeddings.weight"},
        {{Slot::kMlpNorm, true, 3}, "bert.encoder.layer.2.output.LayerNorm.bias"}}},
      {"distilbert",
       {{{Slot::kQuery, false, 2}, "distilbert.transformer.layer.1.attention.q_lin.weight"},
        {{Slot::kKey, false, 2}, "distilbert.transformer.layer.1.attention.k_lin.weight"},
        {{Slot::kValue, false, 2}, "distilbert.transformer.layer.1.attention.v_lin.weight"},
        {{Slot::kAttentionOut, false, 2}, "distilbert.transformer.layer.1.attention.out_lin.weight"},
        {{Slot::kAttentionNorm, false, 2}, "distilbert.transformer.layer.1.sa_layer_norm.weight"},
        {{Slot::kMlpUp, false, 2}, "distilbert.transformer.layer.1.ffn.lin1.weight"},
        {{Slot::kMlpDown, false, 2}, "distilbert.transformer.layer.1.ffn.lin2.weight"},
        {{Slot::kMlpNorm, false, 2}, "distilbert.transformer.layer.1.output_layer_norm.weight"}}},
      {"mpnet",
       {{{Slot::kRelativeBias}, "encoder.relative_attention_bias.weight"},
        {{Slot::kQuery, false, 2}, "encoder.layer.1.attention.attn.q.weight"},
        {{Slot::kKey, false, 2}, "encoder.layer.1.attention.attn.k.weight"},
        {{Slot::kValue, false, 2}, "encoder.layer.1.attention.attn.v.weight"},
        {{Slot::kAttentionOut, false, 2}, "encoder.layer.1.attention.attn.o.weight"},
        {{Slot::kAttentionNorm, false, 2}, "encoder.layer.1.attention.LayerNorm.weight"},
        {{Slot::kMlpNorm, false, 2}, "encoder.layer.1.output.LayerNorm.weight"}}},
      {"roberta", {{{Slot::kMlpDown, true, 1}, "roberta.encoder.layer.0.output.dense.bias"}}},
      {"roberta_prelayernorm",
       {{{Slot::kFinalNorm}, "roberta_prelayernorm.LayerNorm.weight"},
        {{Slot::kFinalNorm, true}, "roberta_prelayernorm.LayerNorm.bias"},
        {{Slot::kEmbeddingNorm}, "roberta_prelayernorm.embeddings.LayerNorm.weight"},
        {{Slot::kAttentionNorm, false, 2}, "roberta_prelayernorm.encoder.layer.1.attention.LayerNorm.weight"},
        {{Slot::kMlpNorm, false, 2}, "roberta_prelayernorm.encoder.layer.1.intermediate.LayerNorm.weight"}}},
  };
  for (const auto& test : cases) {
    const Golden golden(test.golden);
    const auto bound = golden.BindUpTo(3);
    ASSERT_TRUE(bound.ok()) << bound.status();
    for (const auto& [param, name] : test.names) EXPECT_EQ(bound->at(param).view, &golden.tensors.at(name)) << name;
  }
}

void Rename(Tensors& tensors, const std::string& from, const std::string& to) {
  auto node = tensors.extract(from);
  ASSERT_FALSE(node.empty()) << from;
  node.key() = to;
  ASSERT_TRUE(tensors.insert(std::move(node)).inserted) << to;
}

// Checkpoints that came out of TensorFlow call the parameters of a norm gamma and beta.
TEST(BindTest, GammaAndBeta) {
  Golden golden("bert_pretraining");
  Rename(golden.tensors, "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma");
  Rename(golden.tensors, "bert.embeddings.LayerNorm.bias", "bert.embeddings.LayerNorm.beta");
  const auto bound = golden.BindUpTo(3);
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(bound->at({Slot::kEmbeddingNorm, false}).view, &golden.tensors.at("bert.embeddings.LayerNorm.gamma"));
  EXPECT_EQ(bound->at({Slot::kEmbeddingNorm, true}).view, &golden.tensors.at("bert.embeddings.LayerNorm.beta"));
}

TEST(BindTest, HeadsAndBuffersAreIgnoredWithAndWithoutPrefix) {
  Golden golden("bert");
  const TensorView any = golden.tensors.at("pooler.dense.bias");
  for (const char* name : {"bert.pooler.dense.bias", "embeddings.position_ids", "bert.embeddings.token_type_ids",
                           "cls.predictions.bias", "classifier.weight", "qa_outputs.bias"}) {
    golden.tensors[name] = any;
  }
  const auto bound = golden.BindUpTo(3);
  EXPECT_TRUE(bound.ok()) << bound.status();
}

// Each is one change to the tensors of `bert`, which has 3 blocks.
TEST(BindTest, BadCheckpoints) {
  const char* const query = "encoder.layer.1.attention.self.query.weight";
  const struct {
    const char* what;
    std::function<void(Tensors&)> change;
    const char* message;
  } cases[] = {
      {"missing tensor", [&](Tensors& t) { t.erase(query); },
       "bert/model.safetensors: tensor encoder.layer.1.attention.self.query.weight: expected [32, 32], found none"},
      {"missing bias", [](Tensors& t) { t.erase("encoder.layer.2.output.LayerNorm.bias"); },
       "bert/model.safetensors: tensor encoder.layer.2.output.LayerNorm.bias: expected [32], found none"},
      {"missing embedding", [](Tensors& t) { t.erase("embeddings.word_embeddings.weight"); },
       "bert/model.safetensors: tensor embeddings.word_embeddings.weight: expected [283, 32], found none"},
      {"nothing at all", [](Tensors& t) { t.clear(); }, "weights: tensor embeddings.word_embeddings.weight: expected"},
      {"vocabulary of another size", [](Tensors& t) { t["embeddings.word_embeddings.weight"].shape = {282, 32}; },
       "tensor embeddings.word_embeddings.weight: expected shape [283, 32], found [282, 32]"},
      {"transposed", [](Tensors& t) { t["encoder.layer.0.output.dense.weight"].shape = {64, 32}; },
       "tensor encoder.layer.0.output.dense.weight: expected shape [32, 64], found [64, 32]"},
      {"scalar", [](Tensors& t) { t["embeddings.LayerNorm.bias"].shape = {}; }, "expected shape [32], found []"},
      {"one dimension more", [&](Tensors& t) { t[query].shape = {32, 32, 1}; }, "found [32, 32, 1]"},
      {"unknown module", [&](Tensors& t) { t["encoder.layer.0.adapter.weight"] = t[query]; },
       "tensor encoder.layer.0.adapter.weight: not a part of architecture bert as config.json describes it"},
      {"unknown parameter", [&](Tensors& t) { t["encoder.layer.0.attention.self.query.scale"] = t[query]; },
       "tensor encoder.layer.0.attention.self.query.scale: not a part"},
      {"a name that only begins well", [&](Tensors& t) { t["encoder.layer.0.attention.self.query"] = t[query]; },
       "not a part"},
      {"a part that the config does not have", [&](Tensors& t) { t["LayerNorm.weight"] = t[query]; }, "not a part"},
      {"block 4 of 3", [&](Tensors& t) { t["encoder.layer.3.attention.self.query.weight"] = t[query]; },
       "tensor encoder.layer.3.attention.self.query.weight: block 4, but config.json has 3 blocks"},
      {"block number without digits", [&](Tensors& t) { t["encoder.layer..attention.self.query.weight"] = t[query]; },
       "not a part"},
      {"negative block number", [&](Tensors& t) { t["encoder.layer.-1.attention.self.query.weight"] = t[query]; },
       "not a part"},
      {"largest block number",
       [&](Tensors& t) { t["encoder.layer.2147483647.attention.self.query.weight"] = t[query]; },
       "tensor encoder.layer.2147483647.attention.self.query.weight: "},
      {"too large a block number",
       [&](Tensors& t) { t["encoder.layer.99999999999.attention.self.query.weight"] = t[query]; }, "not a part"},
      {"the same under a prefix", [&](Tensors& t) { t[std::string("bert.") + query] = t[query]; },
       "tensor encoder.layer.1.attention.self.query.weight: a second tensor for the same place"},
      {"gamma beside weight", [](Tensors& t) { t["embeddings.LayerNorm.gamma"] = t["embeddings.LayerNorm.weight"]; },
       "a second tensor for the same place"},
      {"bias of an embedding", [](Tensors& t) { t["embeddings.word_embeddings.bias"] = t["pooler.dense.bias"]; },
       "tensor embeddings.word_embeddings.bias: not a part"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    Golden golden("bert");
    test.change(golden.tensors);
    const absl::Status status = golden.BindUpTo(3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

TEST(BindTest, ErrorsNameTheFile) {
  Golden golden("bert_sharded");
  TensorView& view = golden.tensors.at("embeddings.LayerNorm.bias");
  view.shape = {31};
  EXPECT_THAT(std::string(golden.BindUpTo(3).status().message()), testing::StartsWith(view.file + ": tensor "));
}

TEST(BindTest, WhatIsNotLoadedIsCheckedButNotNeeded) {
  Golden golden("bert");
  golden.tensors.erase("encoder.layer.2.output.dense.bias");
  EXPECT_TRUE(golden.BindUpTo(2).ok()) << "a block above max_layer may be missing";
  golden.tensors.at("encoder.layer.2.output.dense.weight").shape = {1};
  EXPECT_FALSE(golden.BindUpTo(2).ok()) << "but what is there must have its shape";
}

TEST(RegistryTest, FindsEveryArchitectureByItsName) {
  for (const Architecture& architecture : Architectures()) {
    const auto found = FindArchitecture(architecture.model_type);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, &architecture);
  }
  for (const char* name : {"", "BERT", "bert ", "t5"}) {
    EXPECT_EQ(FindArchitecture(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace midlayer
