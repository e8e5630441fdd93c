#include "server/models/description.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/model_copy.h"

namespace midlayer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// What generate.py gave every model; a table entry changes what is special about its own.
ArchSpec Common() {
  return {.layers = 3,
          .hidden = 32,
          .heads = 4,
          .kv_heads = 4,
          .head_size = 8,
          .intermediate = 64,
          .positions = 66,
          .token_types = 2,
          .embedding_norm = true,
          .norm_epsilon = 1e-12,
          .activation = Activation::kGelu,
          .position_rule = PositionRule::kCount,
          .padding_id = 0,
          .relative_buckets = 0,
          .attention = std::vector<AttentionSpec>(3, {.scale = 1 / std::sqrt(8.0)})};
}

ArchSpec Bert(int vocabulary) {
  ArchSpec spec = Common();
  spec.model_type = "bert";
  spec.vocabulary = vocabulary;
  return spec;
}

ArchSpec BertPretraining() {
  ArchSpec spec = Bert(283);
  spec.norm_epsilon = 0.01;
  spec.activation = Activation::kGeluTanh;
  return spec;
}

ArchSpec RobertaLike(const char* model_type, int vocabulary, double norm_epsilon) {
  ArchSpec spec = Common();
  spec.model_type = model_type;
  spec.vocabulary = vocabulary;
  spec.token_types = 1;
  spec.norm_epsilon = norm_epsilon;
  spec.position_rule = PositionRule::kAfterPadding;
  spec.padding_id = 1;
  return spec;
}

ArchSpec PreLayerNorm() {
  ArchSpec spec = RobertaLike("roberta-prelayernorm", 400, 0.01);
  spec.block_form = BlockForm::kPreNorm;
  spec.final_norm = true;
  return spec;
}

ArchSpec Mpnet() {
  ArchSpec spec = RobertaLike("mpnet", 284, 0.01);
  spec.token_types = 0;
  spec.relative_buckets = 32;
  return spec;
}

ArchSpec DistilBert() {
  ArchSpec spec = Common();
  spec.model_type = "distilbert";
  spec.vocabulary = 283;
  spec.token_types = 0;
  return spec;
}

TEST(DescribeModelTest, GoldenModels) {
  const struct {
    const char* golden;
    ArchSpec arch;
    int max_tokens;  // RoBERTa's position table has two rows that no text gets
  } cases[] = {
      {"bert", Bert(283), 66},
      {"bert_pretraining", BertPretraining(), 66},  // config.json as transformers 4 writes it
      {"distilbert", DistilBert(), 66},
      {"mpnet", Mpnet(), 64},
      {"roberta", RobertaLike("roberta", 400, 1e-5), 64},
      {"roberta_prelayernorm", PreLayerNorm(), 64},
      {"xlm_roberta", RobertaLike("xlm-roberta", 255, 1e-5), 64},
      {"camembert", RobertaLike("camembert", 258, 0.01), 64},
      {"sentence", Bert(273), 24},     // max_seq_length
      {"sentence_v6", Bert(273), 24},  // model_max_length
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.golden);
    const auto model = DescribeModel(GoldenModel(test.golden));
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->arch.Canonical(), test.arch.Canonical());
    EXPECT_EQ(model->architecture->model_type, test.arch.model_type);
    EXPECT_EQ(model->max_tokens, test.max_tokens);
    EXPECT_EQ(model->name, test.golden);
  }
}

TEST(DescribeModelTest, PlainModelsTakeTheMeanOfEverything) {
  const auto model = DescribeModel(GoldenModel("bert"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->default_pooling, Pooling::kMean);
  EXPECT_TRUE(model->include_prompt);
  EXPECT_FALSE(model->lowercase);
  EXPECT_TRUE(model->dense.empty());
  EXPECT_TRUE(model->prompts.empty());
  EXPECT_EQ(model->default_prompt_name, "");
}

// The same model as sentence-transformers 3 and 6 save it.
TEST(DescribeModelTest, SentenceTransformersInBothForms) {
  for (const char* golden : {"sentence", "sentence_v6"}) {
    SCOPED_TRACE(golden);
    const auto model = DescribeModel(GoldenModel(golden));
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->default_pooling, Pooling::kWeightedMean);
    EXPECT_FALSE(model->include_prompt);
    ASSERT_EQ(model->dense.size(), 1u);
    EXPECT_EQ(model->dense[0].directory, GoldenModel(golden) / "2_Dense");
    EXPECT_EQ(model->dense[0].in_features, 32);
    EXPECT_EQ(model->dense[0].out_features, 16);
    EXPECT_TRUE(model->dense[0].bias);
    EXPECT_EQ(model->dense[0].activation, DenseSpec::Activation::kTanh);
    EXPECT_EQ(model->prompts.at("query"), "query: ");
    EXPECT_EQ(model->prompts.at("passage"), "passage: ");
    EXPECT_EQ(model->default_prompt_name, "");
  }
  EXPECT_TRUE(DescribeModel(GoldenModel("sentence"))->lowercase);
  EXPECT_FALSE(DescribeModel(GoldenModel("sentence_v6"))->lowercase) << "its tokenizer does that";
}

TEST(DescribeModelTest, PoolingModesOfSentenceTransformers) {
  const struct {
    const char* config;
    Pooling pooling;
  } cases[] = {
      {R"({"pooling_mode_cls_token": true})", Pooling::kCls},
      {R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false})", Pooling::kMean},
      {R"({"pooling_mode_max_tokens": true})", Pooling::kMax},
      {R"({"pooling_mode_weightedmean_tokens": true})", Pooling::kWeightedMean},
      {R"({"pooling_mode_lasttoken": true})", Pooling::kLast},
      {R"({"pooling_mode": "cls"})", Pooling::kCls},
      {R"({"pooling_mode": "mean"})", Pooling::kMean},
      {R"({"pooling_mode": "max"})", Pooling::kMax},
      {R"({"pooling_mode": "weightedmean"})", Pooling::kWeightedMean},
      {R"({"pooling_mode": "lasttoken"})", Pooling::kLast},
      {R"({"pooling_mode": ["lasttoken"]})", Pooling::kLast},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.config);
    const ModelCopy copy("sentence");
    copy.Write("1_Pooling/config.json", test.config);
    const auto model = DescribeModel(copy.path());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->default_pooling, test.pooling);
    EXPECT_TRUE(model->include_prompt) << "the default";
  }
}

TEST(DescribeModelTest, MaxTokensIsTheSmallestLimit) {
  const struct {
    const char* golden;
    const char* file;
    const char* patch;
    int max_tokens;
  } cases[] = {
      {"bert", "tokenizer_config.json", R"({"model_max_length": 10})", 10},
      {"bert", "tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})", 66},
      {"bert", "tokenizer_config.json", R"({"model_max_length": 67})", 66},
      {"bert", "tokenizer_config.json", R"({"model_max_length": null})", 66},
      {"bert", "config.json", R"({"max_position_embeddings": 9})", 9},
      {"bert", "config.json", R"({"max_position_embeddings": null})", 66},  // BERT's 512, but the tokenizer says 66
      {"roberta", "config.json", R"({"max_position_embeddings": 9, "pad_token_id": 3})", 5},
      {"roberta", "config.json", R"({"pad_token_id": null})", 64},
      {"sentence", "sentence_bert_config.json", R"({"max_seq_length": 67})", 66},
      {"sentence", "sentence_bert_config.json", R"({"max_seq_length": 5})", 5},
      {"sentence", "sentence_bert_config.json", R"({"max_seq_length": null})", 66},
      {"sentence", "tokenizer_config.json", R"({"model_max_length": 5})", 24},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.golden) + " " + test.file + " " + test.patch);
    const ModelCopy copy(test.golden);
    copy.Edit(test.file, test.patch);
    const auto model = DescribeModel(copy.path());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->max_tokens, test.max_tokens);
  }
  const ModelCopy bare("bert");
  bare.Remove("tokenizer_config.json");
  EXPECT_EQ(DescribeModel(bare.path())->max_tokens, 66);
}

TEST(DescribeModelTest, OtherGoodEdits) {
  const ModelCopy copy("sentence");
  copy.Edit("config.json", R"({"hidden_act": "silu", "is_decoder": false, "position_embedding_type": "absolute"})");
  copy.Edit("config_sentence_transformers.json", R"({"default_prompt_name": "query", "prompts": {"query": "q "}})");
  copy.Edit("modules.json", R"([{"path": "", "type": "sentence_transformers.models.Transformer"},
                                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                                {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
                                {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}])");
  copy.Edit("2_Dense/config.json", R"({"activation_function": "torch.nn.modules.linear.Identity", "bias": false})");
  copy.Write("3_Dense/config.json", R"({"in_features": 16, "out_features": 8})");
  const auto model = DescribeModel(copy.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->arch.activation, Activation::kSilu);
  EXPECT_EQ(model->default_prompt_name, "query");
  EXPECT_THAT(model->prompts, ElementsAre(Pair("passage", "passage: "), Pair("query", "q ")));
  ASSERT_EQ(model->dense.size(), 2u);
  EXPECT_EQ(model->dense[0].activation, DenseSpec::Activation::kIdentity);
  EXPECT_FALSE(model->dense[0].bias);
  EXPECT_EQ(model->dense[1].out_features, 8);
  EXPECT_EQ(model->dense[1].activation, DenseSpec::Activation::kTanh) << "the default of sentence-transformers";
}

TEST(DescribeModelTest, DenseActivations) {
  const std::pair<const char*, DenseSpec::Activation> cases[] = {
      {"torch.nn.modules.activation.ReLU", DenseSpec::Activation::kRelu},
      {"torch.nn.modules.activation.GELU", DenseSpec::Activation::kGelu},
      {"torch.nn.modules.activation.Sigmoid", DenseSpec::Activation::kSigmoid},
      {"Tanh", DenseSpec::Activation::kTanh},
  };
  for (const auto& [name, activation] : cases) {
    SCOPED_TRACE(name);
    const ModelCopy copy("sentence");
    copy.Edit("2_Dense/config.json", std::string(R"({"activation_function": ")") + name + "\"}");
    const auto model = DescribeModel(copy.path());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->dense.at(0).activation, activation);
  }
}

TEST(DescribeModelTest, OverridesWin) {
  const auto model = DescribeModel(GoldenModel("sentence"), {.max_tokens = 40, .default_pooling = Pooling::kCls});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->max_tokens, 40) << "above max_seq_length, within the position table";
  EXPECT_EQ(model->default_pooling, Pooling::kCls);
  EXPECT_FALSE(model->include_prompt) << "not overridden";
  EXPECT_EQ(DescribeModel(GoldenModel("bert"), {.max_tokens = 66})->max_tokens, 66);

  const ModelCopy ambiguous("sentence");
  ambiguous.Edit("1_Pooling/config.json", R"({"pooling_mode_cls_token": true})");
  EXPECT_EQ(DescribeModel(ambiguous.path(), {.default_pooling = Pooling::kMax})->default_pooling, Pooling::kMax);
}

TEST(DescribeModelTest, MaxTokensAboveThePositionsIsRefused) {
  const std::tuple<const char*, int, const char*> cases[] = {
      {"bert", 67, "--max-tokens: expected at most 66 (the model's positions), found 67"},
      {"roberta", 65, "--max-tokens: expected at most 64 (the model's positions), found 65"},
      {"sentence", 1 << 30, "--max-tokens: expected at most 66"},
  };
  for (const auto& [golden, max_tokens, message] : cases) {
    SCOPED_TRACE(message);
    const absl::Status status = DescribeModel(GoldenModel(golden), {.max_tokens = max_tokens}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), HasSubstr(message));
  }
}

TEST(DescribeModelTest, TheNameIsTheDirectorys) {
  EXPECT_EQ(DescribeModel(GoldenModel("bert") / "")->name, "bert");
  EXPECT_EQ(DescribeModel(GoldenModel("bert") / ".." / "roberta" / ".")->name, "roberta");
}

TEST(DescribeModelTest, NoDirectory) {
  const ModelCopy copy("bert");
  for (const auto& path : {copy.path() / "none", copy.path() / "config.json"}) {
    const absl::Status status = DescribeModel(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << path;
    EXPECT_THAT(Message(status), HasSubstr(path.string()));
  }
}

TEST(DescribeModelTest, WhatADecoderHasByItself) {
  EXPECT_EQ(DescribeModel(GoldenModel("llama"))->default_pooling, Pooling::kLast);
  EXPECT_EQ(DescribeModel(GoldenModel("mamba"))->default_pooling, Pooling::kLast);
  EXPECT_EQ(DescribeModel(GoldenModel("modernbert"))->default_pooling, Pooling::kMean);
  EXPECT_EQ(DescribeModel(GoldenModel("embedding_gemma"))->default_pooling, Pooling::kMean) << "1_Pooling says so";
  // 48 positions, stretched by 2.
  EXPECT_EQ(DescribeModel(GoldenModel("llama_dynamic"))->arch.max_tokens(), 96);
}

TEST(DescribeModelTest, AttentionInBothDirections) {
  const auto llama = DescribeModel(GoldenModel("llama"), {.bidirectional = true});
  EXPECT_EQ(llama->arch.direction, AttentionDirection::kBidirectional);
  EXPECT_EQ(llama->default_pooling, Pooling::kMean);
  EXPECT_TRUE(DescribeModel(GoldenModel("bert"), {.bidirectional = true}).ok()) << "it is so anyway";
  EXPECT_THAT(Message(DescribeModel(GoldenModel("mamba"), {.bidirectional = true}).status()),
              HasSubstr("--attention: expected auto (mamba has no attention), found bidirectional"));
}

// Each is one edit of a good model.
TEST(DescribeModelTest, BadModels) {
  const struct {
    const char* golden;
    const char* file;
    const char* patch;
    const char* message;
  } cases[] = {
      {"bert", "config.json", R"({"model_type": "t5"})",
       "model_type: expected one of bert, camembert, distilbert, gemma3_text, gpt2, gpt_neox, gptj, llama, mamba, "
       "mistral, modernbert, mpnet, qwen2, qwen3, roberta, roberta-prelayernorm, xlm-roberta, found t5"},
      {"bert", "config.json", R"({"model_type": null})", "model_type: expected a string, found nothing"},
      {"bert", "config.json", R"({"model_type": 3})", "model_type: expected a string, found 3"},
      {"bert", "config.json", R"({"is_decoder": true})", "is_decoder: expected false (encoders only), found true"},
      {"roberta", "config.json", R"({"is_decoder": true})", "is_decoder: expected false"},
      {"llama", "config.json", R"({"rope_parameters": {"rope_type": "longrope", "factor": 2}})",
       "rope_type: expected one of default, linear, dynamic, llama3, yarn, found longrope"},
      {"llama_v4", "config.json", R"({"rope_scaling": {"type": "su"}})", "rope_type: expected one of default"},
      {"llama", "config.json", R"({"rope_parameters": {"rope_type": "linear"}})",
       "factor: expected a number of at least 1, found 0"},
      {"llama", "config.json", R"({"head_dim": 2, "rope_parameters": {"rope_type": "dynamic", "factor": 2}})",
       "rope_type: expected one other than dynamic where 2 numbers of a head are turned, found dynamic"},
      {"llama", "config.json", R"({"head_dim": 268435456})", "head_dim: expected at most 2^28 numbers for the "},
      {"gemma3", "config.json", R"({"query_pre_attn_scalar": 0})",
       "query_pre_attn_scalar: expected a number above 0, found 0"},
      {"gemma3", "config.json", R"({"attn_logit_softcapping": 50.0})",
       "attn_logit_softcapping: expected null, as published, found 50.0"},
      {"mamba", "config.json", R"({"expand": 1e9})", "expand: expected a factor of hidden_size that makes 1 to 2^28"},
      {"mamba", "config.json", R"({"expand": -1})", "expand: expected a factor"},
      {"llama_linear", "config.json", R"({"rope_parameters": {"factor": 0.5}})",
       "factor: expected a number of at least 1, found 0.5"},
      {"llama_linear", "config.json", R"({"rope_parameters": {"factor": -2147483649}})",
       "factor: expected a number of at least 1"},
      {"llama3", "config.json", R"({"rope_parameters": {"high_freq_factor": 1}})",
       "high_freq_factor: expected more than low_freq_factor, found 1"},
      {"llama_yarn", "config.json", R"({"rope_parameters": {"beta_slow": 0}})",
       "beta_fast: expected it and beta_slow above 0, found 2 and 0"},
      {"llama_yarn", "config.json", R"({"rope_parameters": {"factor": 1e300, "mscale": 1e308, "mscale_all_dim": 1}})",
       "mscale: expected a finite attention factor of it and mscale_all_dim, found inf"},
      {"llama", "config.json", R"({"rope_parameters": {"rope_theta": 1}})", "rope_theta: expected a number above 1"},
      {"llama", "config.json", R"({"rope_parameters": 7})", "rope_parameters: expected an object, found 7"},
      {"llama", "config.json", R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
       "partial_rotary_factor: expected 1, and heads of an even size, found 8 numbers"},
      {"gpt_neox", "config.json", R"({"rope_parameters": {"partial_rotary_factor": 0.1}})",
       "partial_rotary_factor: expected an even number of the 16 numbers of a head, at least 2, found 1 numbers"},
      {"gpt_neox", "config.json", R"({"rope_parameters": {"partial_rotary_factor": 1e300}})",
       "partial_rotary_factor: expected an even number of the 16 numbers of a head, at least 2, found 1.6e+301 "
       "numbers"},
      {"bert", "config.json", R"({"layer_norm_eps": -1})", "layer_norm_eps: expected a number of at least 0, found -1"},
      {"gptj", "config.json", R"({"rotary_dim": 3})",
       "rotary_dim: expected an even number, at most the head size 8, found 3"},
      {"llama", "config.json", R"({"num_key_value_heads": 4})",
       "num_key_value_heads: expected a divisor of the 6 attention heads, found 4"},
      {"llama", "config.json", R"({"num_hidden_layers": 100000000})",
       "num_hidden_layers: expected 1 to 10000 blocks, found 100000000"},
      {"gemma3", "config.json", R"({"layer_types": ["full_attention"]})",
       "layer_types: expected a list of 3 layer types, found [\"full_attention\"]"},
      {"qwen2", "config.json", R"({"layer_types": ["full_attention", "chunked", "full_attention"]})",
       "layer_types: expected one of full_attention, sliding_attention, found chunked"},
      {"gpt2", "config.json", R"({"add_cross_attention": true})", "add_cross_attention: expected false, found true"},
      {"mamba", "config.json", R"({"time_step_rank": "many"})", "time_step_rank: expected an integer"},
      {"bert", "config.json", R"({"hidden_act": "mish"})",
       "hidden_act: expected one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish, found mish"},
      {"distilbert", "config.json", R"({"activation": "mish"})", "activation: expected one of gelu"},
      {"bert", "config.json", R"({"hidden_size": null})",
       "hidden_size: expected an integer of at least 1, found nothing"},
      {"distilbert", "config.json", R"({"dim": null})", "dim: expected an integer of at least 1, found nothing"},
      {"bert", "config.json", R"({"hidden_size": 33})",
       "hidden_size: expected a multiple of the 4 attention heads, found 33"},
      {"bert", "config.json", R"({"num_attention_heads": 0})", "num_attention_heads: expected an integer from 1"},
      {"bert", "config.json", R"({"position_embedding_type": "relative_key"})",
       "position_embedding_type: expected absolute, found relative_key"},
      {"bert", "config.json", R"({"num_hidden_layers": 0})", "num_hidden_layers: expected an integer from 1"},
      {"bert", "config.json", R"({"num_hidden_layers": -3})", "num_hidden_layers: expected an integer from 1"},
      {"bert", "config.json", R"({"num_hidden_layers": 1e12})", "num_hidden_layers: expected an integer from 1"},
      {"bert", "config.json", R"({"num_hidden_layers": 1000000000000})", "found 1000000000000"},
      {"bert", "config.json", R"({"num_hidden_layers": "3"})", "num_hidden_layers: expected an integer from 1"},
      {"bert", "config.json", R"({"layer_norm_eps": "1e-5"})", "layer_norm_eps: expected a number"},
      {"bert", "config.json", R"([])", "model_type: expected a string, found nothing"},
      {"bert", "config.json", R"("bert")", "expected a JSON object or array, found string"},
      {"roberta", "config.json", R"({"max_position_embeddings": 2})",
       "max_position_embeddings: expected more than pad_token_id + 1, found 2"},
      {"mpnet", "config.json", R"({"relative_attention_num_buckets": 0})", "relative_attention_num_buckets: expected"},
      {"bert", "tokenizer_config.json", R"({"model_max_length": "66"})", "model_max_length: expected a number"},
      {"sentence", "sentence_bert_config.json", R"({"max_seq_length": 0})", "max_seq_length: expected an integer"},
      {"sentence", "sentence_bert_config.json", R"({"do_lower_case": "no"})", "do_lower_case: expected true or false"},
      {"sentence", "1_Pooling/config.json", R"({"pooling_mode_cls_token": true})",
       "pooling_mode: expected one of cls, mean, max, weightedmean, lasttoken (or name one with --default-pooling), "
       "found 2 modes"},
      {"sentence", "1_Pooling/config.json", R"({"pooling_mode_weightedmean_tokens": false})", "found 0 modes"},
      {"sentence", "1_Pooling/config.json",
       R"({"pooling_mode_weightedmean_tokens": false, "pooling_mode_mean_sqrt_len_tokens": true})",
       "pooling_mode: expected one of cls, mean, max, weightedmean, lasttoken (or name one with --default-pooling), "
       "found mean_sqrt_len_tokens"},
      {"sentence", "1_Pooling/config.json", R"({"pooling_mode_cls_token": 1})", "expected true or false, found 1"},
      {"sentence_v6", "1_Pooling/config.json", R"({"pooling_mode": ["cls", "mean"]})", "found 2 modes"},
      {"sentence_v6", "1_Pooling/config.json", R"({"pooling_mode": "median"})", "pooling_mode: expected cls, mean"},
      {"sentence_v6", "1_Pooling/config.json", R"({"pooling_mode": 7})", "found 7"},
      {"sentence", "2_Dense/config.json", R"({"in_features": 31})", "in_features: expected 32, found 31"},
      {"sentence", "2_Dense/config.json", R"({"out_features": 0})", "out_features: expected an integer from 1"},
      {"sentence", "2_Dense/config.json", R"({"activation_function": "torch.nn.Mish"})",
       "activation_function: expected one of Identity, Tanh, ReLU, GELU, Sigmoid, found torch.nn.Mish"},
      {"sentence", "2_Dense/config.json", R"({"use_residual": true})", "use_residual: expected false, found true"},
      {"sentence", "modules.json", R"([{"type": "sentence_transformers.models.LSTM"}])",
       "type: expected Transformer, Pooling, Dense or Normalize of sentence-transformers, found "
       "sentence_transformers.models.LSTM"},
      {"sentence", "modules.json", R"([{"path": ""}])", "type: expected a string, found nothing"},
      {"sentence", "modules.json", R"([7])", "expected objects"},
      {"sentence", "modules.json", R"({"type": "Pooling"})", "expected a JSON array, found an object"},
      {"sentence", "config_sentence_transformers.json", R"({"default_prompt_name": "title"})",
       "default_prompt_name: expected the name of one of the prompts, found title"},
      {"sentence", "config_sentence_transformers.json", R"({"prompts": {"query": 1}})",
       "prompts: expected an object of strings, found 1"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.golden) + " " + test.file + " " + test.patch);
    const ModelCopy copy(test.golden);
    copy.Edit(test.file, test.patch);
    const absl::Status status = DescribeModel(copy.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), AllOf(HasSubstr((copy.path() / test.file).string()), HasSubstr(test.message)));
  }
}

TEST(DescribeModelTest, MissingAndBrokenFiles) {
  const std::tuple<const char*, absl::StatusCode> cases[] = {
      {"config.json", absl::StatusCode::kNotFound},
      {"1_Pooling/config.json", absl::StatusCode::kNotFound},
      {"2_Dense/config.json", absl::StatusCode::kNotFound},
  };
  for (const auto& [file, code] : cases) {
    SCOPED_TRACE(file);
    const ModelCopy copy("sentence");
    copy.Remove(file);
    const absl::Status status = DescribeModel(copy.path()).status();
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(Message(status), HasSubstr((copy.path() / file).string()));
  }
  for (const char* file : {"config.json", "tokenizer_config.json", "sentence_bert_config.json", "modules.json",
                           "config_sentence_transformers.json", "1_Pooling/config.json", "2_Dense/config.json"}) {
    SCOPED_TRACE(file);
    const ModelCopy copy("sentence");
    copy.Write(file, "{\"a\": ");
    const absl::Status status = DescribeModel(copy.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), AllOf(HasSubstr((copy.path() / file).string()), HasSubstr("expected JSON")));
  }
}

TEST(PoolingTest, NamesGoThereAndBack) {
  const std::pair<Pooling, const char*> cases[] = {{Pooling::kCls, "cls"},
                                                   {Pooling::kMean, "mean"},
                                                   {Pooling::kLast, "last"},
                                                   {Pooling::kMax, "max"},
                                                   {Pooling::kWeightedMean, "weighted_mean"}};
  for (const auto& [pooling, name] : cases) {
    EXPECT_EQ(PoolingName(pooling), name);
    EXPECT_EQ(ParsePooling(name), pooling);
  }
  for (const char* name : {"", "CLS", "weightedmean", "mean "}) EXPECT_EQ(ParsePooling(name), std::nullopt) << name;
}

// Two models that compute differently must not share a fingerprint.
TEST(ArchSpecTest, EveryFieldIsInTheCanonicalLine) {
  const std::vector<void (*)(ArchSpec&)> changes = {
      [](ArchSpec& s) { s.model_type = "other"; },
      [](ArchSpec& s) { s.mixer = Mixer::kMamba; },
      [](ArchSpec& s) { ++s.layers; },
      [](ArchSpec& s) { ++s.hidden; },
      [](ArchSpec& s) { ++s.heads; },
      [](ArchSpec& s) { ++s.kv_heads; },
      [](ArchSpec& s) { ++s.head_size; },
      [](ArchSpec& s) { ++s.intermediate; },
      [](ArchSpec& s) { ++s.vocabulary; },
      [](ArchSpec& s) { ++s.positions; },
      [](ArchSpec& s) { ++s.token_types; },
      [](ArchSpec& s) { s.embedding_scale = 2; },
      [](ArchSpec& s) { s.embedding_norm = false; },
      [](ArchSpec& s) { s.norm = NormKind::kRms; },
      [](ArchSpec& s) { s.norm_epsilon = 2e-12; },
      [](ArchSpec& s) { s.norm_bias = false; },
      [](ArchSpec& s) { s.block_form = BlockForm::kPreNorm; },
      [](ArchSpec& s) { s.first_attention_norm = false; },
      [](ArchSpec& s) { s.final_norm = true; },
      [](ArchSpec& s) { s.qk_norm = true; },
      [](ArchSpec& s) { s.qkv_bias = false; },
      [](ArchSpec& s) { s.attention_out_bias = false; },
      [](ArchSpec& s) { s.mlp_bias = false; },
      [](ArchSpec& s) { s.gated_mlp = true; },
      [](ArchSpec& s) { s.activation = Activation::kRelu; },
      [](ArchSpec& s) { s.direction = AttentionDirection::kCausal; },
      [](ArchSpec& s) { s.position_rule = PositionRule::kAfterPadding; },
      [](ArchSpec& s) { ++s.padding_id; },
      [](ArchSpec& s) { ++s.relative_buckets; },
      [](ArchSpec& s) { s.ropes.push_back({}); },
      [](ArchSpec& s) { s.attention[1].window = 8; },
      [](ArchSpec& s) { s.attention[1].rope = 0; },
      [](ArchSpec& s) { s.attention[2].scale = 1; },
      [](ArchSpec& s) { ++s.mamba.inner; },
      [](ArchSpec& s) { ++s.mamba.state; },
      [](ArchSpec& s) { ++s.mamba.conv_kernel; },
      [](ArchSpec& s) { ++s.mamba.time_step_rank; },
      [](ArchSpec& s) { s.mamba.bias = true; },
      [](ArchSpec& s) { s.mamba.conv_bias = true; },
  };
  const std::vector<void (*)(RopeSpec&)> rope_changes = {
      [](RopeSpec& r) { r.dims = 2; },
      [](RopeSpec& r) { r.theta = 2; },
      [](RopeSpec& r) { r.interleaved = true; },
      [](RopeSpec& r) { r.scaling = RopeScaling::kLinear; },
      [](RopeSpec& r) { r.factor = 2; },
      [](RopeSpec& r) { ++r.original_positions; },
      [](RopeSpec& r) { r.low_frequency_factor = 2; },
      [](RopeSpec& r) { r.high_frequency_factor = 2; },
      [](RopeSpec& r) { r.beta_fast = 2; },
      [](RopeSpec& r) { r.beta_slow = 2; },
      [](RopeSpec& r) { r.truncate = false; },
      [](RopeSpec& r) { r.attention_factor = 2; },
  };
  const std::string original = Bert(283).Canonical();
  for (size_t i = 0; i < changes.size(); ++i) {
    ArchSpec spec = Bert(283);
    changes[i](spec);
    EXPECT_NE(spec.Canonical(), original) << "change " << i;
  }
  ArchSpec turned = Bert(283);
  turned.ropes = {{}};
  for (size_t i = 0; i < rope_changes.size(); ++i) {
    ArchSpec spec = turned;
    rope_changes[i](spec.ropes[0]);
    EXPECT_NE(spec.Canonical(), turned.Canonical()) << "change of the rope " << i;
  }
  EXPECT_EQ(original.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace midlayer
