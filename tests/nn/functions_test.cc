// The arithmetic on packed tokens against plain loops in double precision.
#include "server/nn/functions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace midlayer {
namespace {

double At(const at::Tensor& matrix, int64_t row, int64_t column) { return matrix[row][column].item<double>(); }

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

// The definitions, number by number.
TEST(NormTest, FollowsTheDefinitions) {
  const at::Tensor x = at::randn({3, 5}), weight = at::randn({5}), bias = at::randn({5});
  const at::Tensor layer = Norm{NormKind::kLayer, weight, bias, 0.1}(x);
  const at::Tensor rms = Norm{.kind = NormKind::kRms, .weight = weight, .epsilon = 0.1}(x);
  for (int64_t row = 0; row < 3; ++row) {
    double mean = 0, squares = 0, variance = 0;
    for (int64_t i = 0; i < 5; ++i) mean += At(x, row, i) / 5;
    for (int64_t i = 0; i < 5; ++i) squares += At(x, row, i) * At(x, row, i) / 5;
    for (int64_t i = 0; i < 5; ++i) variance += (At(x, row, i) - mean) * (At(x, row, i) - mean) / 5;
    for (int64_t i = 0; i < 5; ++i) {
      const double w = weight[i].item<double>(), b = bias[i].item<double>();
      EXPECT_NEAR(At(layer, row, i), (At(x, row, i) - mean) / std::sqrt(variance + 0.1) * w + b, 1e-5);
      EXPECT_NEAR(At(rms, row, i), At(x, row, i) / std::sqrt(squares + 0.1) * w, 1e-5);
    }
  }
}

// By our own kernel and without it, whatever it is given and what is wanted.
TEST(AddAndNormTest, IsTheSumAndItsNormInItsPlace) {
  const at::Tensor x = at::randn({40, 20}), other = at::randn({40, 23}).narrow(1, 3, 20);  // not contiguous
  const Norm layer{NormKind::kLayer, at::randn({20}), at::randn({20}), 0.1};
  const Norm rms{.kind = NormKind::kRms, .weight = at::randn({20}), .epsilon = 0.1};
  for (const Norm& norm : {layer, rms}) {
    for (const at::Tensor& added : {at::Tensor(), other, other.to(at::kBFloat16)}) {
      const at::Tensor sum = added.defined() ? x + added : x;
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
        const double relative = dtype == at::kFloat ? 1e-5 : 0.01;
        for (const bool own_kernel : {true, false}) {
          const Stream pre = AddAndNorm(norm, NormPlace::kPre, x, added, dtype, own_kernel);
          const Stream post = AddAndNorm(norm, NormPlace::kPost, x, added, dtype, own_kernel);
          EXPECT_TRUE(at::equal(pre.residual, sum));
          EXPECT_TRUE(at::allclose(post.residual, norm(sum), 1e-5, 1e-5));
          EXPECT_TRUE(at::allclose(pre.input.to(at::kFloat), norm(sum), relative, 1e-5));
          EXPECT_TRUE(at::equal(pre.input, post.input));
          EXPECT_EQ(pre.input.scalar_type(), dtype);
        }
      }
    }
  }
}

}  // namespace
}  // namespace midlayer
