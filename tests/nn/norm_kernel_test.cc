// The kernel against its definition in double precision, with each set of vector instructions that this machine has, at
// sizes around those of a vector.
#include "server/nn/norm_kernel.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/nn/kernel_fixtures.h"

namespace midlayer {
namespace {

class NormKernelTest : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Targets, NormKernelTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), TargetName);

struct Wanted {
  bool added, sum, normed, bias, centred;
};

// The norm of one row.
std::vector<double> Expected(std::vector<double> row, double epsilon, bool centred) {
  double mean = 0, squares = 0;
  const auto size = static_cast<double>(row.size());
  for (const double x : row) mean += centred ? x / size : 0;
  for (double& x : row) {
    x -= mean;
    squares += x * x / size;
  }
  for (double& x : row) x /= std::sqrt(squares + epsilon);
  return row;
}

template <typename Element>
void ExpectNorm(int64_t features, const Wanted& wanted, std::mt19937& random) {
  constexpr int64_t kRows = 3;
  const int64_t count = kRows * features;
  const std::vector<float> x = Random<float>(count, random);
  const std::vector<Element> added = Random<Element>(count, random);
  const std::vector<float> weight = Random<float>(features, random), bias = Random<float>(features, random);
  std::vector<float> sum(x.size()), normed(x.size());
  std::vector<uint16_t> narrow(x.size());
  AddAndNorm(NormTask<Element>{.x = x.data(),
                               .added = wanted.added ? added.data() : nullptr,
                               .sum = wanted.sum ? sum.data() : nullptr,
                               .weight = weight.data(),
                               .bias = wanted.bias ? bias.data() : nullptr,
                               .normed = wanted.normed ? normed.data() : nullptr,
                               .normed_bf16 = narrow.data(),
                               .rows = kRows,
                               .features = features,
                               .epsilon = 0.1F,
                               .centred = wanted.centred});
  for (int64_t row = 0; row < kRows; ++row) {
    std::vector<double> sums;
    for (int64_t i = row * features; i < (row + 1) * features; ++i) {
      sums.push_back(Value(x[i]) + (wanted.added ? Value(added[i]) : 0));
      ASSERT_NEAR(sum[i], wanted.sum ? sums.back() : 0, 1e-6);
    }
    const std::vector<double> expected = Expected(sums, 0.1, wanted.centred);
    for (int64_t i = 0; i < features; ++i) {
      const double y = expected[i] * Value(weight[i]) + (wanted.bias ? Value(bias[i]) : 0);
      ASSERT_NEAR(normed[row * features + i], wanted.normed ? y : 0, 1e-5) << "row " << row << ", number " << i;
      ASSERT_NEAR(Value(narrow[row * features + i]), y, 1e-5 + std::abs(y) / 256) << "row " << row << ", number " << i;
    }
  }
}

TEST_P(NormKernelTest, IsTheNormOfTheSum) {
  std::mt19937 random(1);
  for (const int64_t features : {1, 3, 16, 17, 40, 384}) {
    for (const Wanted& wanted :
         {Wanted{.added = true, .sum = true, .normed = true, .bias = true, .centred = true},
          Wanted{.added = true, .sum = true, .normed = false, .bias = false, .centred = false},
          Wanted{.added = true, .sum = false, .normed = true, .bias = true, .centred = false},
          Wanted{.added = false, .sum = false, .normed = false, .bias = true, .centred = true},
          Wanted{.added = false, .sum = false, .normed = true, .bias = false, .centred = true}}) {
      SCOPED_TRACE(testing::Message() << features << " features");
      ExpectNorm<float>(features, wanted, random);
      ExpectNorm<uint16_t>(features, wanted, random);
    }
  }
}

// Half of the last digit goes to the even one, and what is no number stays visible.
TEST_P(NormKernelTest, RoundsToTheNearestBFloat16) {
  // From 1, in units of half a digit: kept, rounded down to even, rounded up, rounded up to even.
  const std::vector<float> biases = {
      1, 1 + 0x1p-8F, 1 + 0x1.8p-8F, 1 + 0x3p-8F, std::numeric_limits<float>::infinity(), std::nanf("")};
  const std::vector<float> zeros(biases.size());
  std::vector<uint16_t> narrow(biases.size());
  AddAndNorm(NormTask<float>{.x = zeros.data(),
                             .weight = zeros.data(),
                             .bias = biases.data(),
                             .normed_bf16 = narrow.data(),
                             .rows = 1,
                             .features = static_cast<int64_t>(biases.size()),
                             .epsilon = 1});
  EXPECT_EQ(std::vector<uint16_t>(narrow.begin(), narrow.end() - 1),
            (std::vector<uint16_t>{0x3F80, 0x3F80, 0x3F81, 0x3F82, 0x7F80}));
  EXPECT_TRUE(std::isnan(Value(narrow.back())));
}

}  // namespace
}  // namespace midlayer
