// Linear layers against plain loops in double precision, and packed ones against plain ones.
#include "server/nn/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/round.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace midlayer {
namespace {

double At(const at::Tensor& matrix, int64_t row, int64_t column) { return matrix[row][column].item<double>(); }

// What follows a product in the same step, and each of them with the weight in oneDNN's layout.
TEST(LinearTest, PackedWeightsGiveTheSame) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool has_bias : {true, false}) {
      const Linear plain{.weight = at::randn({33, 20}).to(type),
                         .bias = has_bias ? at::randn({33}).to(type) : at::Tensor()};
      if (!CanPack(plain.weight)) {
        EXPECT_EQ(type, at::kBFloat16) << "float32 can be packed on every processor";
        continue;
      }
      const Linear packed = Packed(plain);
      EXPECT_TRUE(packed.IsPacked() && !plain.IsPacked());
      const double relative = type == at::kFloat ? 1e-5 : 0.02, absolute = type == at::kFloat ? 1e-5 : 0.1;
      for (const int64_t tokens : {1, 5, 16, 100}) {
        const at::Tensor x = at::randn({tokens, 40}).narrow(1, 3, 20);  // not contiguous
        const at::Tensor other = at::randn({tokens, 33});
        const at::Tensor y = plain(x);
        EXPECT_TRUE(at::allclose(packed(x), y, relative, absolute));
        EXPECT_EQ(packed(x).scalar_type(), type);
        EXPECT_TRUE(at::allclose(packed.Added(other, x), other + y, relative, absolute));
        EXPECT_EQ(packed.Added(other, x).scalar_type(), at::kFloat);
        EXPECT_TRUE(at::allclose(packed.Added(other.to(type), x), other.to(type) + y, relative, absolute));
        for (const Activation activation :
             {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kSilu}) {
          EXPECT_TRUE(at::allclose(packed.Activated(activation, x), Activate(activation, y), relative, absolute));
          EXPECT_TRUE(at::equal(plain.Activated(activation, x), Activate(activation, y)));
        }
      }
    }
  }
}

// Weights by the largest of each row, inputs by the largest of each token: sums of whole numbers, so the definition in
// double precision is met closely.
TEST(LinearTest, QuantizedMultipliesStepsOfEachRow) {
  if (!CanQuantize()) GTEST_SKIP() << "this processor does not multiply int8";
  const auto steps = [](const at::Tensor& x, const at::Tensor& scale) { return at::round(x / scale) * scale; };
  const auto scale_of = [](const at::Tensor& x) { return at::amax(at::abs(x), 1, /*keepdim=*/true) / 127; };
  for (const bool has_bias : {true, false}) {
    const Linear plain{.weight = at::randn({33, 20}), .bias = has_bias ? at::randn({33}) : at::Tensor()};
    const Linear quantized = Quantized(plain);
    const at::Tensor weight = steps(plain.weight, scale_of(plain.weight));
    for (const int64_t tokens : {1, 5, 16, 100}) {
      const at::Tensor x = at::randn({tokens, 40}).narrow(1, 3, 20) * at::arange(1, tokens + 1).unsqueeze(1);
      const at::Tensor other = at::randn({tokens, 33});
      const at::Tensor y = at::linear(steps(x, scale_of(x)).to(at::kDouble), weight.to(at::kDouble),
                                      has_bias ? plain.bias.to(at::kDouble) : at::Tensor())
                               .to(at::kFloat);
      EXPECT_TRUE(at::allclose(quantized(x), y, 1e-4, 1e-4));
      EXPECT_TRUE(at::allclose(quantized.Added(other, x), other + y, 1e-4, 1e-4));
      for (const Activation activation :
           {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kSilu}) {
        EXPECT_TRUE(at::allclose(quantized.Activated(activation, x), Activate(activation, y), 1e-4, 1e-4));
      }
      const int64_t last = tokens - 1;
      EXPECT_TRUE(at::equal(quantized(x)[last], quantized(x.narrow(0, last, 1))[0])) << "whatever stands beside it";
    }
  }
}

TEST(LinearTest, WorksWithoutABias) {
  const at::Tensor x = at::randn({2, 3}), weight = at::randn({4, 3});
  const at::Tensor got = Linear{.weight = weight}(x);
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t out = 0; out < 4; ++out) {
      double expected = 0;
      for (int64_t i = 0; i < 3; ++i) expected += At(x, row, i) * At(weight, out, i);
      EXPECT_NEAR(At(got, row, out), expected, 1e-5);
    }
  }
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
