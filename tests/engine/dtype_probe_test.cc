// --dtype auto on the golden models: bfloat16 where it holds, and float32 where it does not.
#include "server/engine/dtype_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

LoadedModel Load(const std::string& model, const std::string& dtype) {
  const auto directory = std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests/golden/models" / model;
  return LoadModel({.directory = directory, .device = "cpu", .dtype = dtype}).value();
}

TEST(AutoDtypeTest, IsBFloat16WhereThatHoldsAtEveryLayer) {
  if (!MultipliesBFloat16(at::kCPU)) GTEST_SKIP() << "this processor has no instructions for products in bfloat16";
  std::set<std::string> chosen;
  for (const char* name : {"bert", "gpt2", "llama", "modernbert", "qwen3", "mamba"}) {
    const at::Tensor wide = ProbeVectors(Load(name, "float32")).value();
    const LoadedModel narrow = Load(name, "bfloat16");
    const double cosine = LeastCosine(wide, ProbeVectors(narrow).value());
    EXPECT_EQ(wide.size(0), narrow.info.max_layer + 1);
    const LoadedModel model = Load(name, "auto");
    EXPECT_EQ(model.info.dtype, cosine >= 0.9999 ? "bfloat16" : "float32") << name << ": " << cosine;
    EXPECT_EQ(model.info.fingerprints, Load(name, model.info.dtype).info.fingerprints);
    ASSERT_EQ(model.notes.size(), 1u);
    EXPECT_THAT(model.notes[0], testing::StartsWith("--dtype auto: " + model.info.dtype + ", as bfloat16 has "));
    chosen.insert(model.info.dtype);
  }
  EXPECT_EQ(chosen.size(), 2u) << "models of both kinds are needed here";
}

TEST(AutoDtypeTest, IsFloat32WhereBFloat16WouldBeSlower) {
  if (MultipliesBFloat16(at::kCPU)) GTEST_SKIP() << "this processor has instructions for products in bfloat16";
  const LoadedModel model = Load("bert", "auto");
  EXPECT_EQ(model.info.dtype, "float32");
  EXPECT_THAT(model.notes, testing::ElementsAre(testing::HasSubstr("no instructions for products in bfloat16")));
}

TEST(LeastCosineTest, IsThatOfTheWorstVector) {
  const at::Tensor a = at::ones({2, 3, 2});
  at::Tensor b = 2 * a;
  EXPECT_NEAR(LeastCosine(a, b), 1, 1e-12);
  b[1][2][0] = 0;
  EXPECT_NEAR(LeastCosine(a, b), std::sqrt(0.5), 1e-12);
  b[0][1][1] = std::nan("");
  EXPECT_EQ(LeastCosine(a, b), 0);
}

}  // namespace
}  // namespace midlayer
