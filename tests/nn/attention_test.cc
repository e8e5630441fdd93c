// Attention on packed tokens against plain loops in double precision.
#include "server/nn/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace midlayer {
namespace {

double At(const at::Tensor& tensor, int64_t token, int64_t head, int64_t i) {
  return tensor[token][head][i].item<double>();
}

bool Sees(const AttentionRule& rule, int64_t query, int64_t key) {
  if (rule.causal && key > query) return false;
  return rule.window == 0 || std::abs(query - key) < rule.window;
}

struct Case {
  std::vector<int64_t> offsets;
  AttentionRule rule;
  int heads = 2;
  int kv_heads = 2;
  at::Tensor relative_bias;  // (32, heads), or undefined
};

// One head of one token of the row [begin, end), written from the definition.
std::vector<double> Naive(const Case& test, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          int64_t begin, int64_t end, int64_t token, int head) {
  const int64_t size = q.size(2), own = head / (test.heads / test.kv_heads);
  const at::Tensor bias = test.relative_bias.defined() ? RelativeBias(test.relative_bias, end - begin) : at::Tensor();
  std::vector<double> out(static_cast<size_t>(size));
  double sum = 0;
  for (int64_t key = begin; key < end; ++key) {
    if (!Sees(test.rule, token, key)) continue;
    double score = 0;
    for (int64_t i = 0; i < size; ++i) score += At(q, token, head, i) * At(k, key, own, i);
    score *= test.rule.scale;
    if (bias.defined()) score += bias[head][token - begin][key - begin].item<double>();
    sum += std::exp(score);
    for (int64_t i = 0; i < size; ++i) out[i] += std::exp(score) * At(v, key, own, i);
  }
  for (double& value : out) value /= sum;
  return out;
}

void ExpectRows(const Case& test, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& got) {
  const int64_t size = q.size(2);
  ASSERT_EQ(got.sizes(), (at::IntArrayRef{q.size(0), test.heads * size}));
  for (size_t row = 0; row + 1 < test.offsets.size(); ++row) {
    const int64_t begin = test.offsets[row], end = test.offsets[row + 1];
    for (int64_t token = begin; token < end; ++token) {
      for (int head = 0; head < test.heads; ++head) {
        const std::vector<double> expected = Naive(test, q, k, v, begin, end, token, head);
        for (int64_t i = 0; i < size; ++i) {
          EXPECT_NEAR(got[token][head * size + i].item<double>(), expected[i], 1e-5)
              << "row " << row << ", token " << token << ", head " << head;
        }
      }
    }
  }
}

// libtorch's attention, and the kernel with each set of vector instructions that this machine has. Heads of any size:
// below a vector, and not a whole number of them.
void ExpectAttention(const Case& test) {
  const int64_t tokens = test.offsets.back();
  for (const int64_t size : {4, 20}) {
    const at::Tensor q = at::randn({tokens, test.heads, size}), k = at::randn({tokens, test.kv_heads, size}),
                     v = at::randn({tokens, test.kv_heads, size});
    const auto run = [&](bool own_kernel) {
      AttentionMasks masks(test.relative_bias);
      ExpectRows(test, q, k, v,
                 PackedAttention(q, k, v, {.groups = GroupRows(test.offsets)}, test.rule, masks, own_kernel));
    };
    run(/*own_kernel=*/false);
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      const testing::ScopedTrace trace(__FILE__, __LINE__, hwy::TargetName(target));
      hwy::SetSupportedTargetsForTest(target);
      hwy::GetChosenTarget().Update(target);
      run(/*own_kernel=*/true);
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
}

TEST(PackedAttentionTest, EachTokenSeesItsOwnRowOnly) {
  ExpectAttention({.offsets = {0, 1, 4, 7, 10, 12}, .rule = {.scale = 0.5}});
  ExpectAttention({.offsets = {0, 5}, .rule = {.scale = 0.25}});
}

TEST(PackedAttentionTest, CausalAttentionLooksBackOnly) {
  ExpectAttention({.offsets = {0, 1, 6, 11, 14}, .rule = {.scale = 0.5, .causal = true}});
}

// Of rows that are shorter than the window, as long, and longer.
TEST(PackedAttentionTest, WindowsHideWhatIsFar) {
  for (const bool causal : {false, true}) {
    for (const int window : {1, 3}) {
      ExpectAttention({.offsets = {0, 2, 5, 9, 20}, .rule = {.scale = 0.5, .causal = causal, .window = window}});
    }
  }
}

TEST(PackedAttentionTest, HeadsShareKeysAndValues) {
  ExpectAttention({.offsets = {0, 3, 6, 10}, .rule = {.scale = 0.5, .causal = true}, .heads = 6, .kv_heads = 2});
  ExpectAttention(
      {.offsets = {0, 3, 8}, .rule = {.scale = 0.5, .causal = true, .window = 2}, .heads = 3, .kv_heads = 1});
}

TEST(PackedAttentionTest, AddsTheRelativeBias) {
  ExpectAttention({.offsets = {0, 1, 4, 7, 30}, .rule = {.scale = 0.5}, .relative_bias = at::randn({32, 2})});
  ExpectAttention({.offsets = {0, 12}, .rule = {.scale = 0.5, .window = 4}, .relative_bias = at::randn({32, 2})});
}

// More keys than one vector, or the two that are scored at once, and more queries than go together.
TEST(PackedAttentionTest, RowsOfEveryLengthNearAVector) {
  ExpectAttention({.offsets = {0, 15, 31, 48, 79, 111, 144}, .rule = {.scale = 0.5}, .heads = 1, .kv_heads = 1});
  ExpectAttention({.offsets = {0, 40}, .rule = {.scale = 0.5, .causal = true, .window = 19}, .kv_heads = 1});
}

// q, k and v as they stand in one product, twice as many tokens as there are rows for.
TEST(PackedAttentionTest, ReadsPartsOfAWiderTensor) {
  const Case test{.offsets = {0, 6, 17}, .rule = {.scale = 0.5}};
  const at::Tensor qkv = at::randn({34, 3 * 2 * 16});
  const auto part = [&](int64_t i) { return qkv.narrow(1, i * 32, 32).unflatten(1, {2, 16}); };
  for (const bool own_kernel : {false, true}) {
    AttentionMasks masks{at::Tensor()};
    const at::Tensor got =
        PackedAttention(part(0), part(1), part(2), {.groups = GroupRows(test.offsets)}, test.rule, masks, own_kernel);
    ExpectRows(test, part(0), part(1), part(2), got);
    EXPECT_EQ(got.narrow(0, 17, 17).abs().max().item<float>(), 0) << "tokens of no row";
  }
}

// Computed in float32 and rounded once.
TEST(PackedAttentionTest, BFloat16IsTheRoundedFloat32) {
  const at::Tensor qkv = at::randn({50, 3, 2, 32}).to(at::kBFloat16);
  const auto run = [&](at::ScalarType type) {
    AttentionMasks masks{at::Tensor()};
    const at::Tensor in = qkv.to(type);
    return PackedAttention(in.select(1, 0).contiguous(), in.select(1, 1), in.select(1, 2),
                           {.groups = GroupRows({0, 3, 21, 50})}, {.scale = 0.2}, masks, /*own_kernel=*/true);
  };
  const at::Tensor got = run(at::kBFloat16);
  EXPECT_EQ(got.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(got, run(at::kFloat).to(at::kBFloat16)));
}

// The bucket of T5's paper for 32 buckets, half of them for each direction: distances below 8 have one each, those up
// to 128 share the rest on a logarithmic scale. Float32 as in transformers, whose rounding decides at the edges.
int64_t Bucket(int64_t query, int64_t key) {
  const int64_t distance = std::abs(query - key);
  const int64_t half = key > query ? 16 : 0;
  if (distance < 8) return half + distance;
  const float scaled = std::log(static_cast<float>(distance) / 8.0f) / static_cast<float>(std::log(16.0)) * 8.0f;
  return half + std::min<int64_t>(15, 8 + static_cast<int64_t>(scaled));
}

TEST(RelativeBiasTest, PicksTheBucketsOfT5) {
  constexpr int64_t kTokens = 300;
  const at::Tensor table = at::arange(64, at::kFloat).view({32, 2});  // bucket b, head n holds 2 b + n
  const at::Tensor bias = RelativeBias(table, kTokens);
  ASSERT_EQ(bias.sizes(), (at::IntArrayRef{2, kTokens, kTokens}));
  const float* values = bias.const_data_ptr<float>();
  int64_t differences = 0;
  for (int64_t head = 0; head < 2; ++head) {
    for (int64_t query = 0; query < kTokens; ++query) {
      for (int64_t key = 0; key < kTokens; ++key) {
        const auto expected = static_cast<float>(2 * Bucket(query, key) + head);
        differences += values[(head * kTokens + query) * kTokens + key] != expected;
      }
    }
  }
  EXPECT_EQ(differences, 0);
}

}  // namespace
}  // namespace midlayer
