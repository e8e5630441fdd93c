// The arithmetic on packed tokens against plain loops in double precision.
#include "server/nn/functions.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace midlayer {
namespace {

double At(const at::Tensor& matrix, int64_t row, int64_t column) { return matrix[row][column].item<double>(); }

// Attention of one head for one row's tokens [begin, end), written from the definition.
std::vector<double> NaiveAttention(const at::Tensor& qkv, int64_t begin, int64_t end, int64_t token, int head,
                                   int heads, const at::Tensor& bias_NTT) {
  const int64_t hidden = qkv.size(1) / 3, size = hidden / heads, first = head * size;
  std::vector<double> weights;
  double sum = 0;
  for (int64_t key = begin; key < end; ++key) {
    double score = 0;
    for (int64_t i = 0; i < size; ++i) score += At(qkv, token, first + i) * At(qkv, key, hidden + first + i);
    score /= std::sqrt(static_cast<double>(size));
    if (bias_NTT.defined()) score += bias_NTT[head][token - begin][key - begin].item<double>();
    weights.push_back(std::exp(score));
    sum += weights.back();
  }
  std::vector<double> out(static_cast<size_t>(size));
  for (int64_t key = begin; key < end; ++key) {
    for (int64_t i = 0; i < size; ++i) out[i] += weights[key - begin] / sum * At(qkv, key, 2 * hidden + first + i);
  }
  return out;
}

void ExpectAttention(const std::vector<int64_t>& offsets, bool with_bias) {
  constexpr int kHeads = 2, kHidden = 8;
  const at::Tensor qkv = at::randn({offsets.back(), 3 * kHidden});
  const std::vector<RowGroup> groups = GroupRows(offsets);
  BiasByLength bias;
  for (const RowGroup& group : groups) {
    if (with_bias) bias[group.tokens] = at::randn({kHeads, group.tokens, group.tokens});
  }
  const at::Tensor got = PackedAttention(qkv, groups, kHeads, bias);
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    const at::Tensor row_bias = with_bias ? bias.at(offsets[row + 1] - offsets[row]) : at::Tensor();
    for (int64_t token = offsets[row]; token < offsets[row + 1]; ++token) {
      for (int head = 0; head < kHeads; ++head) {
        const std::vector<double> expected =
            NaiveAttention(qkv, offsets[row], offsets[row + 1], token, head, kHeads, row_bias);
        for (size_t i = 0; i < expected.size(); ++i) {
          EXPECT_NEAR(At(got, token, head * (kHidden / kHeads) + static_cast<int64_t>(i)), expected[i], 1e-5)
              << "row " << row << ", token " << token << ", head " << head;
        }
      }
    }
  }
}

TEST(PackedAttentionTest, EachTokenSeesItsOwnRowOnly) {
  ExpectAttention({0, 1, 4, 7, 10, 12}, /*with_bias=*/false);
  ExpectAttention({0, 5}, /*with_bias=*/false);
}

TEST(PackedAttentionTest, AddsTheBiasOfTheRowsLength) { ExpectAttention({0, 1, 4, 7, 9}, /*with_bias=*/true); }

TEST(GroupRowsTest, NeighboursOfOneLengthAreOneGroup) {
  const std::vector<RowGroup> groups = GroupRows({0, 3, 6, 8, 11});
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].rows, 2);
  EXPECT_EQ(groups[0].tokens, 3);
  EXPECT_EQ(groups[1].first_token, 6);
  EXPECT_EQ(groups[1].tokens, 2);
  EXPECT_EQ(groups[2].first_token, 8);
  EXPECT_EQ(groups[2].rows, 1);
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

TEST(ActivateTest, FollowsTheDefinitions) {
  for (double x : {-3.0, -0.5, 0.0, 0.7, 4.0}) {
    const at::Tensor input = at::arange(1, at::kDouble).add_(x);
    const auto of = [&](Activation activation) { return Activate(activation, input).item<double>(); };
    EXPECT_NEAR(of(Activation::kGelu), 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))), 1e-12);
    EXPECT_NEAR(of(Activation::kGeluTanh), 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))),
                1e-12);
    EXPECT_NEAR(of(Activation::kRelu), std::max(x, 0.0), 1e-12);
    EXPECT_NEAR(of(Activation::kSilu), x / (1 + std::exp(-x)), 1e-12);
  }
}

}  // namespace
}  // namespace midlayer
