// Attention on packed tokens against plain loops in double precision.
#include "server/nn/attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

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

void ExpectAttention(const Case& test) {
  constexpr int64_t kSize = 4;
  const int64_t tokens = test.offsets.back();
  const at::Tensor q = at::randn({tokens, test.heads, kSize}), k = at::randn({tokens, test.kv_heads, kSize}),
                   v = at::randn({tokens, test.kv_heads, kSize});
  AttentionMasks masks(test.relative_bias);
  const at::Tensor got = PackedAttention(q, k, v, {.groups = GroupRows(test.offsets)}, test.rule, masks);
  ASSERT_EQ(got.sizes(), (at::IntArrayRef{tokens, test.heads * kSize}));
  for (size_t row = 0; row + 1 < test.offsets.size(); ++row) {
    const int64_t begin = test.offsets[row], end = test.offsets[row + 1];
    for (int64_t token = begin; token < end; ++token) {
      for (int head = 0; head < test.heads; ++head) {
        const std::vector<double> expected = Naive(test, q, k, v, begin, end, token, head);
        for (int64_t i = 0; i < kSize; ++i) {
          EXPECT_NEAR(got[token][head * kSize + i].item<double>(), expected[i], 1e-5)
              << "row " << row << ", token " << token << ", head " << head;
        }
      }
    }
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
