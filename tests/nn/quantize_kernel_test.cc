// The kernels against their definitions in double precision, with each set of vector instructions that this machine
// has, at sizes around those of a vector.
#include "server/nn/quantize_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/nn/kernel_fixtures.h"

namespace midlayer {
namespace {

class QuantizeKernelTest : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Targets, QuantizeKernelTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         TargetName);

struct Quantized {
  std::vector<uint8_t> values;
  std::vector<float> scale;
};

Quantized QuantizeAll(const std::vector<float>& x, int64_t features) {
  const auto rows = static_cast<int64_t>(x.size()) / features;
  Quantized result{std::vector<uint8_t>(x.size()), std::vector<float>(static_cast<size_t>(rows))};
  Quantize({.x = x.data(),
            .quantized = result.values.data(),
            .scale = result.scale.data(),
            .rows = rows,
            .features = features});
  return result;
}

TEST_P(QuantizeKernelTest, EachNumberIsTheNearestStepOfItsRow) {
  std::mt19937 random(1);
  for (const int64_t features : {1, 3, 16, 17, 40, 384}) {
    std::vector<float> x = Random<float>(3 * features, random);
    for (int64_t i = 0; i < features; ++i) x[static_cast<size_t>(features + i)] *= 1000;  // a row beside the others
    const Quantized got = QuantizeAll(x, features);
    for (int64_t row = 0; row < 3; ++row) {
      double largest = 0;
      for (int64_t i = 0; i < features; ++i) largest = std::max(largest, std::abs(Value(x[row * features + i])));
      ASSERT_NEAR(got.scale[row], largest / 127, 1e-6 * largest);
      for (int64_t i = row * features; i < (row + 1) * features; ++i) {
        const double steps = Value(x[i]) * 127 / largest;
        ASSERT_NEAR(got.values[i] - kQuantizedZero, steps, 0.5 + 1e-4) << features << " features, row " << row;
      }
    }
  }
}

TEST_P(QuantizeKernelTest, ARowOfZerosStaysZero) {
  const Quantized got = QuantizeAll(std::vector<float>(40), 20);
  EXPECT_EQ(got.scale, std::vector<float>(2));
  EXPECT_EQ(got.values, std::vector<uint8_t>(40, kQuantizedZero));
}

// What is not finite stays visible, in its row alone.
TEST_P(QuantizeKernelTest, WhatIsNotFiniteSpoilsItsRowAlone) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {0, 18}) {
      std::vector<float> x(57, 1);  // 3 rows of 19: a whole vector and what is left of one, for some targets
      x[19 + at] = bad;
      const Quantized got = QuantizeAll(x, 19);
      EXPECT_TRUE(std::isnan(got.scale[1])) << bad << " at " << at;
      EXPECT_NEAR(got.scale[0], 1.0 / 127, 1e-8);
      EXPECT_NEAR(got.scale[2], 1.0 / 127, 1e-8);
    }
  }
}

double Expected(std::optional<Activation> activation, double x) {
  if (!activation) return x;
  switch (*activation) {
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return x;
}

TEST_P(QuantizeKernelTest, DequantizesAndActivates) {
  std::mt19937 random(1);
  const std::vector<std::optional<Activation>> activations = {std::nullopt, Activation::kGelu, Activation::kGeluTanh,
                                                              Activation::kRelu, Activation::kSilu};
  for (const int64_t features : {1, 17, 40}) {
    for (const bool has_bias : {true, false}) {
      for (const auto& activation : activations) {
        const std::vector<float> y = Random<float>(2 * features, random), bias = Random<float>(features, random);
        const std::vector<float> scale = {0.5F, 20};
        std::vector<float> got = y;
        Dequantize({.y = got.data(),
                    .scale = scale.data(),
                    .bias = has_bias ? bias.data() : nullptr,
                    .activation = activation,
                    .rows = 2,
                    .features = features});
        for (int64_t i = 0; i < 2 * features; ++i) {
          const double x = Value(scale[i / features]) * Value(y[i]) + (has_bias ? Value(bias[i % features]) : 0);
          ASSERT_NEAR(got[i], Expected(activation, x), 1e-5) << "of " << x;
        }
      }
    }
  }
}

TEST_P(QuantizeKernelTest, NanStaysNanBehindEveryActivation) {
  for (const auto activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kSilu}) {
    std::vector<float> y(20, 1);
    const float scale = std::nanf("");
    Dequantize({.y = y.data(), .scale = &scale, .activation = activation, .rows = 1, .features = 20});
    for (const float x : y) EXPECT_TRUE(std::isnan(x)) << static_cast<int>(activation);
  }
}

}  // namespace
}  // namespace midlayer
