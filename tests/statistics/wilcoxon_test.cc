// What must hold for any pairs; the numbers themselves are in scipy_test.cc.
#include "server/statistics/wilcoxon.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "server/base/random.h"

namespace midlayer {
namespace {

using Alternative = WilcoxonOptions::Alternative;
using Method = WilcoxonOptions::Method;

const double kNan = std::numeric_limits<double>::quiet_NaN();

// Differences without ties, a bit above zero in the mean.
std::vector<double> Sample(uint64_t seed, size_t n) {
  Random random(seed);
  std::vector<double> sample(n);
  for (double& value : sample) value = random.Uniform() - 0.45;
  return sample;
}

WilcoxonResult OfDifferences(const std::vector<double>& differences, const WilcoxonOptions& options = {}) {
  return WilcoxonSignedRank(differences, std::vector<double>(differences.size(), 0.0), options);
}

TEST(WilcoxonTest, ChangingSidesSwapsTheAlternatives) {
  for (const size_t n : {5, 20, 80}) {
    const std::vector<double> x = Sample(n, n), y = Sample(n + 1, n);
    const WilcoxonOptions greater = {.alternative = Alternative::kGreater}, less = {.alternative = Alternative::kLess};
    EXPECT_NEAR(WilcoxonSignedRank(x, y, greater).p_value, WilcoxonSignedRank(y, x, less).p_value, 1e-14);
    EXPECT_NEAR(WilcoxonSignedRank(x, y).p_value, WilcoxonSignedRank(y, x).p_value, 1e-14);
    EXPECT_EQ(WilcoxonSignedRank(x, y).statistic, WilcoxonSignedRank(y, x).statistic);
  }
}

TEST(WilcoxonTest, OnlyTheOrderOfTheMagnitudesCounts) {
  const std::vector<double> sample = Sample(1, 30);
  std::vector<double> cubed = sample;
  for (double& value : cubed) value = value * value * value;
  EXPECT_EQ(OfDifferences(sample).p_value, OfDifferences(cubed).p_value);
  EXPECT_EQ(OfDifferences(sample).statistic, OfDifferences(cubed).statistic);
}

TEST(WilcoxonTest, TheSmallestPOfNPairs) {
  for (int n = 1; n <= 20; ++n) {
    std::vector<double> differences;
    for (int i = 1; i <= n; ++i) differences.push_back(i);
    const WilcoxonResult result = OfDifferences(differences, {.alternative = Alternative::kGreater});
    EXPECT_DOUBLE_EQ(result.p_value, std::pow(0.5, n));
    EXPECT_EQ(result.statistic, n * (n + 1) / 2);
  }
}

TEST(WilcoxonTest, ZIsThereWhereTheNormalApproximationIs) {
  EXPECT_TRUE(std::isnan(OfDifferences(Sample(1, 50)).z));
  EXPECT_FALSE(std::isnan(OfDifferences(Sample(1, 51)).z));
  EXPECT_TRUE(std::isnan(OfDifferences(Sample(1, 51), {.method = Method::kExact}).z));
  EXPECT_TRUE(std::isnan(OfDifferences(std::vector<double>(13, 1.0)).z));
  EXPECT_FALSE(std::isnan(OfDifferences(std::vector<double>(14, 1.0)).z));
  EXPECT_TRUE(std::isnan(OfDifferences(Sample(1, 500), {.method = Method::kExact}).z));
  EXPECT_FALSE(std::isnan(OfDifferences(Sample(1, 501), {.method = Method::kExact}).z));
}

TEST(WilcoxonTest, ExactAndAsymptoticAgreeForManyPairs) {
  const std::vector<double> sample = Sample(9, 500);
  const double exact = OfDifferences(sample, {.method = Method::kExact}).p_value;
  EXPECT_NEAR(exact, OfDifferences(sample, {.method = Method::kAsymptotic}).p_value, 0.01 * exact);
}

TEST(WilcoxonTest, NotDefined) {
  const struct {
    std::vector<double> x, y;
  } cases[] = {{{}, {}}, {{1, 2}, {1}}, {{1, kNan}, {2, 3}}, {{HUGE_VAL}, {HUGE_VAL}}};
  for (const auto& test : cases) {
    const WilcoxonResult result = WilcoxonSignedRank(test.x, test.y);
    EXPECT_TRUE(std::isnan(result.statistic) && std::isnan(result.p_value) && std::isnan(result.z));
  }
}

// Of pairs that do not differ in the mean, at most 5 of 100 have p <= 0.05.
TEST(WilcoxonTest, HoldsItsLevel) {
  Random random(2);
  int rejected = 0;
  for (int repetition = 0; repetition < 4000; ++repetition) {
    std::vector<double> differences(15);
    for (double& value : differences) value = random.Uniform() - 0.5;
    rejected += OfDifferences(differences).p_value <= 0.05 ? 1 : 0;
  }
  EXPECT_LT(rejected, 242);  // 200 and 3 standard deviations
  EXPECT_GT(rejected, 140);
}

}  // namespace
}  // namespace midlayer
