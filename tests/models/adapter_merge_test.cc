// Adapters merged into checkpoints, against PEFT's merge_and_unload.
#include "server/models/adapter_merge.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/models/adapter.h"
#include "server/models/description.h"
#include "tests/models/model_copy.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

const fs::path kAdapters = fs::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden" / "adapters";

at::Tensor Copy(const TensorView& view) {
  const at::ScalarType type = view.type == TensorType::kBFloat16 ? at::kBFloat16 : at::kFloat;
  return at::from_blob(const_cast<std::byte*>(view.data.data()), view.shape, type).clone();
}

at::Tensor Merge(const TensorView& weight, const LoraDelta& delta) {
  return MergeLora(Copy(weight), Copy(delta.a), Copy(delta.b), delta.scale, delta.fan_in_fan_out);
}

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

// `relative` 0: float32, in which only the order of a sum of few terms may differ.
void ExpectClose(const at::Tensor& found, const at::Tensor& expected, float relative) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  ASSERT_TRUE(found.is_contiguous());
  const std::vector<float> x = Values(found), y = Values(expected);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-6 + relative * std::abs(y[i])) << "element " << i;
}

struct Case {
  const char* adapter;
  fs::path base;
  WeightMap map;
  std::vector<std::string> left_out;  // merged by PEFT, but no hidden state depends on it
};

std::vector<Case> Cases() {
  return {{"bert",
           GoldenModel("bert") / "model.safetensors",
           DescribeModel(GoldenModel("bert"))->architecture->weight_map(),
           {"pooler.dense.weight"}},
          {"llama", kAdapters / "llama/base.safetensors", {.prefixes = {"model."}}, {}},
          {"llama_bfloat16", kAdapters / "llama_bfloat16/base.safetensors", {.prefixes = {"model."}}, {}},
          {"gpt2", kAdapters / "gpt2/base.safetensors", {.prefixes = {"transformer."}}, {}}};
}

TEST(AdapterMergeTest, WeightsAreThoseOfPeft) {
  for (const Case& test : Cases()) {
    SCOPED_TRACE(test.adapter);
    const auto base = SafetensorsFile::Open(test.base).value();
    const auto expected = SafetensorsFile::Open(kAdapters / test.adapter / "merged.safetensors").value();
    const Adapter adapter = Adapter::Open(kAdapters / test.adapter).value();
    const auto bound = adapter.Bind(test.map, base->tensors());
    ASSERT_TRUE(bound.ok()) << bound.status();
    EXPECT_EQ(bound->size() + test.left_out.size(), expected->tensors().size()) << "weights that the adapter changes";
    for (const auto& [name, delta] : *bound) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(expected->tensors().contains(name));
      const at::Tensor merged = Merge(base->tensors().at(name), delta);
      EXPECT_EQ(merged.scalar_type(), at::kFloat);
      ExpectClose(merged, Copy(expected->tensors().at(name)), 0);
    }
  }
}

// PEFT adds in float32 and rounds once; so does who casts the result.
TEST(AdapterMergeTest, RoundedToBfloat16ItIsWhatPeftMakesOfABfloat16Model) {
  const fs::path directory = kAdapters / "llama_bfloat16";
  const auto base = SafetensorsFile::Open(directory / "base.safetensors").value();
  const auto expected = SafetensorsFile::Open(directory / "merged_bfloat16.safetensors").value();
  const Adapter adapter = Adapter::Open(directory).value();
  const auto bound = adapter.Bind({.prefixes = {"model."}}, base->tensors());
  ASSERT_TRUE(bound.ok()) << bound.status();
  constexpr float kStep = 1.0f / 128;  // of bfloat16, for a sum that lies between two
  for (const auto& [name, delta] : *bound) {
    SCOPED_TRACE(name);
    ExpectClose(Merge(base->tensors().at(name), delta).to(at::kBFloat16), Copy(expected->tensors().at(name)), kStep);
  }
}

TEST(AdapterMergeTest, ArgumentsStayAsTheyAre) {
  const auto base = SafetensorsFile::Open(kAdapters / "gpt2/base.safetensors").value();
  const Adapter adapter = Adapter::Open(kAdapters / "gpt2").value();
  const at::Tensor weight = Copy(base->tensors().at("h.0.attn.c_proj.weight"));
  const LoraDelta& delta = adapter.deltas().at("h.0.attn.c_proj");
  const at::Tensor a = Copy(delta.a), b = Copy(delta.b);
  const std::vector<float> before[] = {Values(weight), Values(a), Values(b)};
  MergeLora(weight, a, b, delta.scale, delta.fan_in_fan_out);
  EXPECT_EQ(Values(weight), before[0]);
  EXPECT_EQ(Values(a), before[1]);
  EXPECT_EQ(Values(b), before[2]);
}

}  // namespace
}  // namespace midlayer
