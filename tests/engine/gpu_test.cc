// What is different on a GPU: kernels, streams, memory that runs out. Skipped where there is none.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <prometheus/registry.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/models/device.h"
#include "server/nn/attention.h"
#include "tests/engine/embedder.h"
#include "tests/engine/golden.h"

namespace midlayer {
namespace {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto gpu = OpenDevices("cuda"); !gpu.ok()) GTEST_SKIP() << gpu.status().message();
  }
};

struct Shape {
  int64_t heads, kv_heads, head_size;
};

// Both ways: one call of FlashAttention where the type is low and the head size fits, else group by group.
void ExpectSameAsOnTheCpu(const Shape& shape, const AttentionRule& rule, at::ScalarType dtype) {
  SCOPED_TRACE(absl::StrCat(shape.heads, " heads, ", shape.kv_heads, " of keys, size ", shape.head_size,
                            rule.causal ? ", causal" : "", ", window ", rule.window, ", ", DtypeName(dtype)));
  const std::vector<int64_t> offsets = {0, 1, 6, 11, 40, 169};
  const int64_t tokens = offsets.back();
  const at::Tensor q = at::randn({tokens, shape.heads, shape.head_size}).to(dtype);
  const at::Tensor k = at::randn({tokens, shape.kv_heads, shape.head_size}).to(dtype);
  const at::Tensor v = at::randn({tokens, shape.kv_heads, shape.head_size}).to(dtype);
  PackedRows rows{.groups = GroupRows(offsets), .longest = 129};
  AttentionMasks masks({}), gpu_masks({});
  const at::Tensor expected =
      PackedAttention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), rows, rule, masks, /*own_kernel=*/false);
  const std::vector<int32_t> starts(offsets.begin(), offsets.end());
  rows.starts = at::tensor(starts, at::kInt).to(at::kCUDA);
  const at::Tensor got =
      PackedAttention(q.to(at::kCUDA), k.to(at::kCUDA), v.to(at::kCUDA), rows, rule, gpu_masks, /*own_kernel=*/true)
          .to(at::kCPU, at::kFloat);
  EXPECT_LE((got - expected).abs().max().item<double>(), dtype == at::kFloat ? 1e-5 : dtype == at::kHalf ? 5e-3 : 3e-2);
}

TEST_F(GpuTest, AttentionIsTheSameAsOnTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const Shape& shape : {Shape{2, 2, 64}, Shape{6, 2, 128}, Shape{3, 1, 256}, Shape{4, 4, 8}, Shape{2, 1, 12}}) {
      for (const bool causal : {false, true}) {
        for (const int window : {0, 1, 16}) {
          ExpectSameAsOnTheCpu(shape, {.scale = 0.125, .causal = causal, .window = window}, dtype);
        }
      }
    }
  }
}

// Two streams, many batches under way: no batch may read what another wrote.
TEST_F(GpuTest, ManyRequestsAtOnceGiveWhatEachGivesAlone) {
  const fs::path model = kGolden / "models/llama";
  Embedder embedder({.directory = model, .device = "cuda"});
  const std::vector<std::string> texts = TextsOf(model);
  const auto task = [&](size_t n) {
    const int layer = static_cast<int>(n % static_cast<size_t>(embedder.info().max_layer + 1));
    return EmbedTask{.texts = {texts[n % texts.size()]}, .outputs = {{.layers = {layer}, .pooling = Pooling::kMean}}};
  };
  std::vector<std::future<EmbedResult>> together;
  for (size_t n = 0; n < 400; ++n) {
    together.push_back(std::async(std::launch::async, [&, n] { return embedder.Embed(task(n)).value(); }));
  }
  for (size_t n = 0; n < together.size(); ++n) {
    const std::vector<float> got = together[n].get().texts[0].vectors[0];
    EXPECT_LE(LargestDifference(got, embedder.Embed(task(n))->texts[0].vectors[0]), 1e-5) << n;
  }
}

double Splits(const Embedder& embedder) {
  for (const auto& family : embedder.telemetry().registry()->Collect()) {
    if (family.name == "midlayer_batch_splits_total" && !family.metric.empty()) return family.metric[0].counter.value;
  }
  return 0;
}

// Of the memory that a batch takes at its fullest, two thirds are left: it is run in halves, with the same vectors.
TEST_F(GpuTest, ABatchThatDoesNotFitIsRunInParts) {
  const fs::path model = kGolden / "models/llama";
  Embedder embedder({.directory = model, .device = "cuda"}, /*batch_tokens=*/1 << 20, /*streams=*/1);
  const EmbedTask task{.texts = std::vector<std::string>(4000, TextsOf(model).back()),
                       .outputs = {{.layers = {embedder.info().max_layer}, .pooling = Pooling::kMean}}};
  c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(at::kCUDA);
  allocator.emptyCache();
  const size_t before = allocator.getMemoryInfo(0).first;
  const std::vector<float> expected = embedder.Embed(task).value().texts[0].vectors[0];
  const size_t taken = before - allocator.getMemoryInfo(0).first;  // the allocator keeps what was taken
  allocator.emptyCache();
  ASSERT_EQ(Splits(embedder), 0);
  const auto ballast = static_cast<int64_t>(allocator.getMemoryInfo(0).first - taken * 2 / 3);
  at::Tensor kept = at::empty({ballast}, at::TensorOptions(at::kCUDA).dtype(at::kByte));
  const EmbedResult result = embedder.Embed(task).value();
  EXPECT_GE(Splits(embedder), 1) << "it took " << taken << " bytes";
  for (const TextResult& text : result.texts) EXPECT_LE(LargestDifference(text.vectors[0], expected), 1e-5);
}

TEST_F(GpuTest, AGpuIsNamedOnce) {
  EXPECT_EQ(OpenDevices("cuda:0,cuda").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenDevices("auto").value(), std::vector<at::Device>{at::Device(at::kCUDA, 0)});
}

}  // namespace
}  // namespace midlayer
