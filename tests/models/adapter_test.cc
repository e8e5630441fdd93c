#include "server/models/adapter.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/models/description.h"
#include "server/weights/weight_files.h"
#include "tests/models/model_copy.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Tensors = std::map<std::string, TensorView>;

fs::path GoldenAdapter(std::string_view name) {
  return fs::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden" / "adapters" / name;
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::string Content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
}

// Name, type and shape of a tensor. Only the types F32 and I64 and sizes that are right are written.
struct Made {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype = "F32";
};

// A safetensors file of zeros.
std::string FileOf(const std::vector<Made>& tensors) {
  std::string header = "{";
  size_t end = 0;
  for (const Made& tensor : tensors) {
    size_t size = tensor.dtype == "I64" ? 8 : 4;
    for (int64_t dimension : tensor.shape) size *= static_cast<size_t>(dimension);
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", tensor.name, R"(":{"dtype":")", tensor.dtype,
                    R"(","shape":[)", absl::StrJoin(tensor.shape, ","), R"(],"data_offsets":[)", end, ",", end + size,
                    "]}");
    end += size;
  }
  return SafetensorsBytes(header + "}", std::string(end, '\0'));
}

// A golden adapter that a test may spoil.
class AdapterCopy {
 public:
  explicit AdapterCopy(std::string_view golden) {
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      fs::copy_file(GoldenAdapter(golden) / file, dir_.path() / file);
    }
  }

  const fs::path& path() const { return dir_.path(); }
  void Write(std::string_view file, std::string_view content) const { dir_.Write(file, content); }
  // RFC 7396: null takes a key away.
  void Edit(std::string_view patch) const {
    nlohmann::json config = nlohmann::json::parse(Content(path() / "adapter_config.json"));
    config.merge_patch(nlohmann::json::parse(patch));
    Write("adapter_config.json", config.dump());
  }
  // One module with an adapter of rank 2 on a weight of shape (out, in).
  void WriteModule(const std::string& module, int64_t out, int64_t in) const {
    Write("adapter_model.safetensors", FileOf({{"base_model.model." + module + ".lora_A.weight", {2, in}},
                                               {"base_model.model." + module + ".lora_B.weight", {out, 2}}}));
  }
  absl::StatusOr<Adapter> Open() const { return Adapter::Open(path()); }

 private:
  TempDir dir_;
};

WeightMap LlamaMap() { return {.prefixes = {"model."}, .ignored = {"lm_head."}}; }

TEST(AdapterTest, RanksAndAlphasByPattern) {
  const auto adapter = Adapter::Open(GoldenAdapter("llama"));
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  const struct {
    const char* module;
    std::vector<int64_t> a, b;
    double scale;
  } cases[] = {
      {"model.layers.0.self_attn.q_proj", {2, 8}, {8, 2}, 4.0 / 2},
      {"model.layers.1.self_attn.q_proj", {1, 8}, {8, 1}, 4},
      {"model.layers.0.self_attn.v_proj", {2, 8}, {4, 2}, 5.0 / 2},
      {"model.layers.1.self_attn.v_proj", {2, 8}, {4, 2}, 9.0 / 2},
      {"model.layers.0.mlp.down_proj", {3, 12}, {8, 3}, 4.0 / 3},
      {"model.layers.1.mlp.down_proj", {3, 12}, {8, 3}, 4.0 / 3},
  };
  EXPECT_EQ(adapter->deltas().size(), std::size(cases));
  for (const auto& test : cases) {
    SCOPED_TRACE(test.module);
    ASSERT_TRUE(adapter->deltas().contains(test.module));
    const LoraDelta& delta = adapter->deltas().at(test.module);
    EXPECT_EQ(delta.a.shape, test.a);
    EXPECT_EQ(delta.b.shape, test.b);
    EXPECT_EQ(delta.scale, test.scale);
    EXPECT_FALSE(delta.fan_in_fan_out);
  }
}

TEST(AdapterTest, RankStabilisedScale) {
  const auto adapter = Adapter::Open(GoldenAdapter("bert"));
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ(adapter->deltas().size(), 5u);
  for (const auto& [module, delta] : adapter->deltas()) EXPECT_EQ(delta.scale, 6.0 / 2) << module;
}

TEST(AdapterTest, TypesAndLayoutOfTheFile) {
  const auto half = Adapter::Open(GoldenAdapter("llama_bfloat16"));
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_EQ(half->deltas().at("model.layers.1.self_attn.o_proj").a.type, TensorType::kBFloat16);
  const auto gpt2 = Adapter::Open(GoldenAdapter("gpt2"));
  ASSERT_TRUE(gpt2.ok()) << gpt2.status();
  for (const auto& [module, delta] : gpt2->deltas()) EXPECT_TRUE(delta.fan_in_fan_out) << module;
}

// The views must not point into what was moved from.
TEST(AdapterTest, ViewsStayWhereTheyAreWhenItMoves) {
  auto opened = Adapter::Open(GoldenAdapter("gpt2"));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::string before = opened->Digest();
  const Adapter moved = *std::move(opened);
  EXPECT_EQ(moved.Digest(), before);
}

// PEFT's own answers: the key of a pattern that is meant for a module, of several in the file's order.
TEST(AdapterTest, PatternsMatchAsInPeft) {
  const auto cases = nlohmann::json::parse(Content(GoldenAdapter("patterns.json")));
  ASSERT_GT(cases.size(), 20u);
  for (const auto& test : cases) {
    SCOPED_TRACE(test.dump());
    const AdapterCopy copy("gpt2");
    copy.WriteModule(test["module"], 4, 4);
    nlohmann::ordered_json config = {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 2}};
    for (size_t i = 0; i < test["keys"].size(); ++i)
      config["alpha_pattern"][test["keys"][i].get<std::string>()] = 20 + 2 * i;
    copy.Write("adapter_config.json", config.dump());
    const auto adapter = copy.Open();
    ASSERT_TRUE(adapter.ok()) << adapter.status();
    const double expected = test["taken"].is_null() ? 1 : 10 + test["taken"].get<double>();
    EXPECT_EQ(adapter->deltas().begin()->second.scale, expected);
  }
}

TEST(AdapterTest, TheNameOfTheAdapterMayBeInTheNames) {
  const AdapterCopy copy("gpt2");
  copy.Write("adapter_model.safetensors", FileOf({{"base_model.model.x.lora_A.default.weight", {2, 3}},
                                                  {"base_model.model.x.lora_B.default.weight", {4, 2}}}));
  const auto adapter = copy.Open();
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  ASSERT_EQ(adapter->deltas().size(), 1u);
  EXPECT_EQ(adapter->deltas().begin()->first, "x");
}

TEST(AdapterTest, WhatOnlyGuidedTheTrainingIsNotLookedAt) {
  for (const char* patch : {
           R"({"lora_dropout": 0.5, "inference_mode": false, "task_type": "FEATURE_EXTRACTION", "revision": "x"})",
           R"({"target_modules": "all-linear", "exclude_modules": ["x"]})",
           R"({"target_modules": ".*c_attn", "exclude_modules": ".*"})",
           R"({"layers_to_transform": [0], "layers_pattern": ["h"]})",
           R"({"layers_to_transform": 0, "layers_pattern": "h"})",
           R"({"modules_to_save": [], "target_parameters": [], "loftq_config": {}, "rank_pattern": {}})",
           R"({"init_lora_weights": false})",
           R"({"init_lora_weights": "gaussian"})",
           R"({"eva_config": {"rho": 2.0}, "corda_config": {"x": 1}, "ensure_weight_tying": true})",
           R"({"runtime_config": {"ephemeral_gpu_offload": true}})",
           R"({"merge_weights": true, "enable_lora": null})",
           R"({"of_a_later_version": false, "and_its_size": 16, "and_its_kind": "random", "and_more": {}})",
           R"({"base_model_name_or_path": null, "bias": null, "use_dora": null, "auto_mapping": null})",
       }) {
    SCOPED_TRACE(patch);
    const AdapterCopy copy("gpt2");
    const std::string before = copy.Open()->Digest();
    copy.Edit(patch);
    const auto adapter = copy.Open();
    ASSERT_TRUE(adapter.ok()) << adapter.status();
    EXPECT_EQ(adapter->Digest(), before);
  }
}

TEST(AdapterTest, SettingsThatAreRefused) {
  const struct {
    const char* patch;
    const char* message;
  } cases[] = {
      {R"({"peft_type": null})", "peft_type: expected a string, found nothing"},
      {R"({"peft_type": "IA3"})", "peft_type: expected \"LORA\", found \"IA3\""},
      {R"({"r": null})", "r: expected an integer of at least 1, found nothing"},
      {R"({"r": 0})", "r: expected an integer from 1"},
      {R"({"r": "2"})", "r: expected an integer from 1 to 268435456, found \"2\""},
      {R"({"lora_alpha": null})", "lora_alpha: expected a number, found nothing"},
      {R"({"lora_alpha": "4"})", "lora_alpha: expected a number, found \"4\""},
      {R"({"use_rslora": 1})", "use_rslora: expected true or false, found 1"},
      {R"({"fan_in_fan_out": "no"})", "fan_in_fan_out: expected true or false, found \"no\""},
      {R"({"base_model_name_or_path": 5})", "base_model_name_or_path: expected a string, found 5"},
      {R"({"bias": "all"})", "bias: expected \"none\", found \"all\""},
      {R"({"bias": "lora_only"})", "bias: expected \"none\", found \"lora_only\""},
      {R"({"init_lora_weights": "pissa"})", "init_lora_weights: expected true, false or \"gaussian\", found \"pissa\""},
      {R"({"init_lora_weights": "pissa_niter_4"})", "found \"pissa_niter_4\""},
      {R"({"init_lora_weights": "olora"})", "found \"olora\""},
      {R"({"init_lora_weights": "corda"})", "found \"corda\""},
      {R"({"init_lora_weights": "loftq"})", "found \"loftq\""},
      {R"({"init_lora_weights": 1})", "found 1"},
      {R"({"use_dora": true})", "use_dora: expected null, false or empty (only plain LoRA can be merged), found true"},
      {R"({"lora_bias": true})", "lora_bias: expected null, false or empty"},
      {R"({"use_qalora": true})", "use_qalora: expected null, false or empty"},
      {R"({"modules_to_save": ["classifier"]})",
       "modules_to_save: expected null, false or empty (only plain LoRA can be merged), found [\"classifier\"]"},
      {R"({"trainable_token_indices": [1, 2]})", "trainable_token_indices: expected null, false or empty"},
      {R"({"trainable_token_indices": {"embed_tokens": [1]}})", "found {\"embed_tokens\":[1]}"},
      {R"({"loftq_config": {"loftq_bits": 4}})", "loftq_config: expected null, false or empty"},
      {R"({"layer_replication": [[0, 4], [2, 5]]})", "layer_replication: expected null, false or empty"},
      {R"({"target_parameters": ["experts.up"]})", "target_parameters: expected null, false or empty"},
      {R"({"alora_invocation_tokens": [5]})", "alora_invocation_tokens: expected null, false or empty"},
      {R"({"use_bdlora": {"nblocks": 2}})", "use_bdlora: expected null, false or empty"},
      {R"({"kasa_config": {"x": 1}})", "kasa_config: expected null, false or empty"},
      {R"({"arrow_config": {"top_k": 3}})", "arrow_config: expected null, false or empty"},
      {R"({"enable_lora": [true, false]})", "enable_lora: expected null, false or empty"},
      {R"({"of_a_later_version": true})", "of_a_later_version: expected null, false or empty"},
      {R"({"rank_pattern": [1]})", "rank_pattern: expected an object of numbers, found [1]"},
      {R"({"rank_pattern": {"c_attn": "3"}})", "rank_pattern: expected an object of numbers, found \"3\""},
      {R"({"alpha_pattern": 3})", "alpha_pattern: expected an object of numbers, found 3"},
      {R"({"alpha_pattern": {"c_(attn": 3}})", "alpha_pattern: expected a regular expression ("},
      {R"({"alpha_pattern": {"(?<!x)c_attn": 3}})", "found (?<!x)c_attn"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.patch) + " -> " + test.message);
    const AdapterCopy copy("gpt2");
    copy.Edit(test.patch);
    const absl::Status status = copy.Open().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), HasSubstr((copy.path() / "adapter_config.json").string() + ": "));
    EXPECT_THAT(Message(status), HasSubstr(test.message));
  }
}

TEST(AdapterTest, LongValuesAreCutInMessages) {
  const AdapterCopy copy("gpt2");
  copy.Edit(absl::StrCat(R"({"trainable_token_indices": [)", absl::StrJoin(std::vector<int>(5000, 1), ","), "]}"));
  EXPECT_LT(copy.Open().status().message().size(), 400u);
}

TEST(AdapterTest, TensorsThatAreRefused) {
  const Made a = {"base_model.model.x.lora_A.weight", {2, 3}}, b = {"base_model.model.x.lora_B.weight", {4, 2}};
  const char* const foreign =
      ": expected base_model.model.MODULE.lora_A.weight or lora_B.weight, found a tensor that is not a factor of a "
      "linear layer's LoRA";
  const struct {
    std::vector<Made> tensors;
    const char* tensor;
    std::string message;
  } cases[] = {
      {{a, b, {"base_model.model.wte.lora_embedding_A", {2, 3}}}, "base_model.model.wte.lora_embedding_A", foreign},
      {{a, b, {"base_model.model.wte.lora_embedding_B", {4, 2}}}, "base_model.model.wte.lora_embedding_B", foreign},
      {{a, b, {"base_model.model.x.lora_magnitude_vector", {4}}}, "base_model.model.x.lora_magnitude_vector", foreign},
      {{a, b, {"base_model.model.x.lora_B.bias", {4}}}, "base_model.model.x.lora_B.bias", foreign},
      {{a, b, {"base_model.model.embed.weight", {9, 3}}}, "base_model.model.embed.weight", foreign},
      {{{"x.lora_A.weight", {2, 3}}, {"x.lora_B.weight", {4, 2}}}, "x.lora_A.weight", foreign},
      {{a, b, {"base_model.model.y.lora_A.other.weight", {2, 3}}}, "base_model.model.y.lora_A.other.weight", foreign},
      {{a, b, {"base_model.model.lora_A.weight", {2, 3}}}, "base_model.model.lora_A.weight", foreign},
      {{a}, "base_model.model.x.lora_A.weight", ": expected lora_B of x beside it, found none"},
      {{b}, "base_model.model.x.lora_B.weight", ": expected lora_A of x beside it, found none"},
      {{a, b, {"base_model.model.x.lora_A.default.weight", {2, 3}}},
       "base_model.model.x.lora_A.weight",
       ": expected one tensor for this place, found base_model.model.x.lora_A.default.weight too"},
      {{{a.name, {2, 3}, "I64"}, b},
       "base_model.model.x.lora_A.weight",
       ": expected a tensor of type F32, F16, BF16 or F64, found I64"},
      {{{a.name, {2, 3, 1}}, b}, "base_model.model.x.lora_A.weight", ": expected 2 dimensions, found shape [2, 3, 1]"},
      {{a, {b.name, {8}}}, "base_model.model.x.lora_B.weight", ": expected 2 dimensions, found shape [8]"},
      {{{a.name, {3, 3}}, b},
       "base_model.model.x.lora_A.weight",
       ": expected rank 2 as in adapter_config.json, found 3 in shape [3, 3]"},
      {{a, {b.name, {2, 4}}},
       "base_model.model.x.lora_B.weight",
       ": expected rank 2 as in adapter_config.json, found 4 in shape [2, 4]"},
      {{{a.name, {0, 3}}, b},
       "base_model.model.x.lora_A.weight",
       ": expected rank 2 as in adapter_config.json, found 0"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.tensor + test.message);
    const AdapterCopy copy("gpt2");
    copy.Write("adapter_model.safetensors", FileOf(test.tensors));
    const absl::Status status = copy.Open().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), StartsWith(absl::StrCat((copy.path() / "adapter_model.safetensors").string(),
                                                         ": tensor ", test.tensor, test.message)));
  }
}

// A rank of 0 would make the scale infinite.
TEST(AdapterTest, ARankOfZeroIsRefusedThoughAllAgree) {
  const AdapterCopy copy("gpt2");
  copy.Edit(R"({"rank_pattern": {"x": 0}})");
  copy.Write("adapter_model.safetensors",
             FileOf({{"base_model.model.x.lora_A.weight", {0, 3}}, {"base_model.model.x.lora_B.weight", {4, 0}}}));
  EXPECT_THAT(Message(copy.Open().status()), HasSubstr("tensor base_model.model.x.lora_A.weight: expected rank"));
}

TEST(AdapterTest, FilesThatAreNotThere) {
  const TempDir dir;
  const absl::Status nothing = Adapter::Open(dir.path() / "none").status();
  EXPECT_EQ(nothing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(nothing), (dir.path() / "none").string() + ": expected a directory with an adapter");

  const absl::Status no_config = Adapter::Open(dir.path()).status();
  EXPECT_EQ(no_config.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(no_config), HasSubstr("adapter_config.json: file not found"));

  const AdapterCopy copy("gpt2");
  fs::remove(copy.path() / "adapter_model.safetensors");
  const absl::Status no_tensors = copy.Open().status();
  EXPECT_EQ(no_tensors.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(no_tensors), HasSubstr("adapter_model.safetensors"));

  copy.Write("adapter_model.bin", "pickle");
  const absl::Status pickle = copy.Open().status();
  EXPECT_EQ(pickle.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(pickle), AllOf(HasSubstr("expected adapter_model.safetensors, found only adapter_model.bin"),
                                     HasSubstr("convert it with: python -c")));
}

TEST(AdapterTest, BrokenFiles) {
  const AdapterCopy copy("gpt2");
  copy.Write("adapter_model.safetensors", FileOf({}));
  EXPECT_THAT(Message(copy.Open().status()), HasSubstr("adapter_model.safetensors: expected tensors of an adapter"));
  copy.Write("adapter_model.safetensors", "no header");
  EXPECT_EQ(copy.Open().status().code(), absl::StatusCode::kInvalidArgument);
  copy.Write("adapter_config.json", "{");
  EXPECT_THAT(Message(copy.Open().status()), HasSubstr("adapter_config.json: expected JSON"));
  copy.Write("adapter_config.json", "[1]");
  EXPECT_EQ(copy.Open().status().code(), absl::StatusCode::kInvalidArgument);
}

// Tensors of a checkpoint by headers alone, renamed.
Tensors Renamed(const Tensors& tensors, const std::function<std::string(const std::string&)>& rename) {
  Tensors renamed;
  for (const auto& [name, view] : tensors) renamed.emplace(rename(name), view);
  return renamed;
}

std::string WithoutModel(const std::string& name) { return name.starts_with("model.") ? name.substr(6) : name; }

// Adapters and checkpoints of the whole model and of the bare one, in all four combinations.
TEST(AdapterBindTest, ModulesAreFoundWithAndWithoutPrefix) {
  const auto checkpoint = SafetensorsFile::Open(GoldenAdapter("llama") / "base.safetensors").value();
  const AdapterCopy bare("llama");
  std::vector<Made> tensors;
  const auto whole = SafetensorsFile::Open(GoldenAdapter("llama") / "adapter_model.safetensors").value();
  for (const auto& [name, view] : whole->tensors()) {
    tensors.push_back({absl::StrReplaceAll(name, {{"model.model.", "model."}}), view.shape});
  }
  bare.Write("adapter_model.safetensors", FileOf(tensors));
  bare.Edit(R"({"rank_pattern": {"^model\\.layers\\.1\\.self_attn\\.q_proj": null, "layers.1.self_attn.q_proj": 1}})");
  for (const fs::path& directory : {GoldenAdapter("llama"), bare.path()}) {
    const auto adapter = Adapter::Open(directory);
    ASSERT_TRUE(adapter.ok()) << adapter.status();
    const bool adapter_has_prefix = adapter->deltas().contains("model.layers.0.self_attn.q_proj");
    EXPECT_EQ(adapter_has_prefix, directory != bare.path());
    for (bool prefix : {false, true}) {
      SCOPED_TRACE(absl::StrCat("adapter ", adapter_has_prefix, " checkpoint ", prefix));
      const auto name = [&](const std::string& full) { return prefix ? full : WithoutModel(full); };
      const auto bound = adapter->Bind(LlamaMap(), Renamed(checkpoint->tensors(), name));
      ASSERT_TRUE(bound.ok()) << bound.status();
      EXPECT_EQ(bound->size(), 6u);
      ASSERT_TRUE(bound->contains(name("model.layers.1.self_attn.v_proj.weight")));
      EXPECT_EQ(bound->at(name("model.layers.1.self_attn.v_proj.weight")).scale, 9.0 / 2);
    }
  }
}

TEST(AdapterBindTest, DeltasOfWhatIsIgnoredAreLeftOut) {
  const auto adapter = Adapter::Open(GoldenAdapter("bert"));
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  const WeightMap map = DescribeModel(GoldenModel("bert"))->architecture->weight_map();
  const auto weights = WeightFiles::Open(GoldenModel("bert"));
  Tensors tensors = weights->tensors();
  ASSERT_TRUE(tensors.contains("pooler.dense.weight"));
  for (bool pooler : {true, false}) {  // a checkpoint need not have it
    if (!pooler) tensors.erase("pooler.dense.weight");
    const auto bound = adapter->Bind(map, tensors);
    ASSERT_TRUE(bound.ok()) << bound.status();
    std::vector<std::string> names;
    for (const auto& [name, delta] : *bound) names.push_back(name);
    EXPECT_THAT(
        names, ElementsAre("encoder.layer.0.attention.self.query.weight", "encoder.layer.0.intermediate.dense.weight",
                           "encoder.layer.2.attention.self.query.weight", "encoder.layer.2.intermediate.dense.weight"));
  }
}

// The shape tells how a weight is stored, and fan_in_fan_out must say the same; a square one has only the latter.
TEST(AdapterBindTest, LayoutOfTheWeight) {
  const auto checkpoint = SafetensorsFile::Open(GoldenAdapter("gpt2") / "base.safetensors").value();
  const AdapterCopy copy("gpt2");
  const auto adapter = copy.Open();
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  const auto bound = adapter->Bind({}, checkpoint->tensors());
  ASSERT_TRUE(bound.ok()) << bound.status();
  for (const auto& [name, delta] : *bound) EXPECT_TRUE(delta.fan_in_fan_out) << name;
  copy.Edit(R"({"fan_in_fan_out": false})");
  const absl::Status status = copy.Open()->Bind({}, checkpoint->tensors()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), absl::StrCat((copy.path() / "adapter_config.json").string(),
                                          ": fan_in_fan_out: expected true, as tensor h.0.attn.c_attn.weight of shape "
                                          "[8, 24] is stored, found false"));
}

TEST(AdapterBindTest, AdaptersForAnotherBase) {
  const auto checkpoint = SafetensorsFile::Open(GoldenAdapter("llama") / "base.safetensors").value();
  const std::string base = (GoldenAdapter("llama") / "base.safetensors").string();
  const struct {
    const char* what;
    std::string module;
    int64_t out, in;
    std::string message;
  } cases[] = {
      {"a block that the model has not", "model.layers.2.self_attn.q_proj", 8, 8,
       "adapter for another base: no tensor layers.2.self_attn.q_proj.weight in the model"},
      {"another architecture", "encoder.layer.0.attention.self.query", 8, 8,
       "adapter for another base: no tensor encoder.layer.0.attention.self.query.weight in the model"},
      {"another width", "model.layers.0.self_attn.v_proj", 4, 16,
       "adapter for another base: lora_B [4, 2] and lora_A [2, 16] do not make the shape [4, 8] of tensor "
       "model.layers.0.self_attn.v_proj.weight in " +
           base},
      {"a norm", "model.norm", 8, 8,
       "adapter for another base: lora_B [8, 2] and lora_A [2, 8] do not make the shape [8] of tensor "
       "model.norm.weight in " +
           base},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    const AdapterCopy copy("gpt2");
    copy.Edit(R"({"fan_in_fan_out": false})");
    copy.WriteModule(test.module, test.out, test.in);
    const absl::Status status = copy.Open()->Bind(LlamaMap(), checkpoint->tensors()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Message(status), absl::StrCat((copy.path() / "adapter_model.safetensors").string(), ": module ",
                                            test.module, ": ", test.message));
  }
}

TEST(AdapterBindTest, TwoDeltasForOneWeight) {
  const auto checkpoint = SafetensorsFile::Open(GoldenAdapter("llama") / "base.safetensors").value();
  const AdapterCopy copy("gpt2");
  copy.Edit(R"({"fan_in_fan_out": false})");
  std::vector<Made> tensors;
  for (const char* module : {"layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"}) {
    tensors.push_back({absl::StrCat("base_model.model.", module, ".lora_A.weight"), {2, 8}});
    tensors.push_back({absl::StrCat("base_model.model.", module, ".lora_B.weight"), {8, 2}});
  }
  copy.Write("adapter_model.safetensors", FileOf(tensors));
  EXPECT_THAT(Message(copy.Open()->Bind(LlamaMap(), checkpoint->tensors()).status()),
              HasSubstr("module model.layers.0.self_attn.q_proj: a second delta for tensor "
                        "model.layers.0.self_attn.q_proj.weight"));
}

TEST(AdapterTest, NoteOnAnotherBase) {
  const struct {
    const char* patch;
    const char* model;
    const char* note;
  } cases[] = {
      {R"({"base_model_name_or_path": "example/gpt2"})", "gpt2", ""},
      {R"({"base_model_name_or_path": "gpt2"})", "gpt2", ""},
      {R"({"base_model_name_or_path": "/data/gpt2/"})", "gpt2", ""},
      {R"({"base_model_name_or_path": ""})", "gpt2", ""},
      {R"({"base_model_name_or_path": null})", "gpt2", ""},
      {R"({"base_model_name_or_path": "example/gpt2"})", "gpt2-xl",
       " was made for example/gpt2, and is merged into gpt2-xl"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.patch) + " " + test.model);
    const AdapterCopy copy("gpt2");
    copy.Edit(test.patch);
    const std::string note = copy.Open()->NoteOnBase(test.model);
    EXPECT_EQ(note, *test.note == '\0' ? "" : absl::StrCat("adapter ", copy.path().string(), test.note));
  }
}

std::string DigestOf(const AdapterCopy& copy) {
  const auto adapter = copy.Open();
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  return adapter->Digest();
}

TEST(AdapterTest, DigestChangesWithWhateverChangesTheWeights) {
  const AdapterCopy copy("gpt2");
  const std::string before = DigestOf(copy);
  EXPECT_EQ(DigestOf(AdapterCopy("gpt2")), before) << "another directory";
  for (const char* patch : {R"({"lora_alpha": 4.000001})", R"({"use_rslora": true})",
                            R"({"alpha_pattern": {"c_attn": 5}})", R"({"fan_in_fan_out": false})"}) {
    SCOPED_TRACE(patch);
    const AdapterCopy changed("gpt2");
    changed.Edit(patch);
    EXPECT_NE(DigestOf(changed), before);
  }
  const AdapterCopy changed("gpt2");
  std::string bytes = Content(changed.path() / "adapter_model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);  // the last tensor, mlp.c_proj
  changed.Write("adapter_model.safetensors", bytes);
  EXPECT_NE(DigestOf(changed), before);
}

}  // namespace
}  // namespace midlayer
