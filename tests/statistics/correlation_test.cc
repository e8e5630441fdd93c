// What must hold for any values; the numbers themselves are in scipy_test.cc.
#include "server/statistics/correlation.h"

#include <cmath>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "server/base/random.h"
#include "server/statistics/distance_correlation.h"

namespace midlayer {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

struct Pairs {
  std::vector<double> x, y;
};

// Related values; one in `kinds` values if that is not 0, so that there are ties.
Pairs RandomPairs(uint64_t seed, size_t n, uint64_t kinds) {
  Random random(seed);
  Pairs pairs;
  for (size_t i = 0; i < n; ++i) {
    pairs.x.push_back(kinds > 0 ? static_cast<double>(random.Index(kinds)) : random.Uniform());
    pairs.y.push_back(pairs.x.back() + (kinds > 0 ? static_cast<double>(random.Index(kinds)) : random.Uniform()));
  }
  return pairs;
}

void ExpectSame(const Correlation& a, const Correlation& b) {
  EXPECT_NEAR(a.value, b.value, 1e-13);
  EXPECT_NEAR(a.p_value, b.p_value, 1e-12);
}

using Coefficient = Correlation (*)(absl::Span<const double>, absl::Span<const double>);
const Coefficient kAll[] = {Pearson, Spearman, KendallTauB};
const Coefficient kOfRanks[] = {Spearman, KendallTauB};

TEST(CorrelationTest, OfRanksStayUnderMonotoneTransforms) {
  for (const uint64_t kinds : {0, 4}) {
    const Pairs pairs = RandomPairs(1, 20, kinds);
    std::vector<double> x = pairs.x, falling = pairs.y;
    for (double& value : x) value = std::exp(3 * value);
    for (double& value : falling) value = -value * value * value;
    for (const Coefficient coefficient : kOfRanks) {
      const Correlation before = coefficient(pairs.x, pairs.y), after = coefficient(x, falling);
      EXPECT_NEAR(after.value, -before.value, 1e-13);
      EXPECT_NEAR(after.p_value, before.p_value, 1e-12);
    }
    EXPECT_GT(std::fabs(Pearson(x, falling).value + Pearson(pairs.x, pairs.y).value), 1e-3);
  }
}

TEST(CorrelationTest, SymmetricAndBlindToTheOrderOfPairs) {
  for (const uint64_t kinds : {0, 3}) {
    const Pairs pairs = RandomPairs(2, 17, kinds);
    Pairs shuffled;
    for (const size_t i : Random(3).Sample(17, 17)) {
      shuffled.x.push_back(pairs.x[i]);
      shuffled.y.push_back(pairs.y[i]);
    }
    for (const Coefficient coefficient : kAll) {
      const Correlation expected = coefficient(pairs.x, pairs.y);
      ExpectSame(coefficient(pairs.y, pairs.x), expected);
      ExpectSame(coefficient(shuffled.x, shuffled.y), expected);
    }
    const DistanceStatistics expected = DistanceCorrelation({pairs.x}, {pairs.y});
    EXPECT_NEAR(DistanceCorrelation({pairs.y}, {pairs.x}).correlation, expected.correlation, 1e-13);
    EXPECT_NEAR(DistanceCorrelation({shuffled.x}, {shuffled.y}).unbiased_correlation_sqr,
                expected.unbiased_correlation_sqr, 1e-13);
  }
}

TEST(CorrelationTest, OfALineIsExactlyOne) {
  const std::vector<double> x = {0.1, 0.7, 0.3, 5.5, 2.25, -3.125};
  std::vector<double> y = x;
  for (double& value : y) value = -4 * value;
  for (const Coefficient coefficient : kAll) {
    EXPECT_EQ(coefficient(x, x).value, 1);
    EXPECT_EQ(coefficient(x, y).value, -1);
    EXPECT_LE(coefficient(x, y).p_value, 2.0 / 720 + 1e-12);  // Kendall's: one order of 6! and its reverse
  }
  EXPECT_NEAR(DistanceCorrelation({x}, {y}).correlation, 1, 1e-14);
  EXPECT_NEAR(DistanceCorrelation({x}, {y}).unbiased_correlation_sqr, 1, 1e-13);
}

TEST(CorrelationTest, NotDefined) {
  const struct {
    std::vector<double> x, y;
  } cases[] = {
      {{}, {}},
      {{1}, {2}},
      {{1, 2, 3}, {1, 2}},
      {{1, 1, 1}, {1, 2, 3}},
      {{1, 2, 3}, {4, 4, 4}},
      {{1, kNan, 3}, {1, 2, 3}},
      {{1, 2, 3}, {kNan, 2, 3}},
      {{kNan, kNan}, {kNan, kNan}},
  };
  for (const auto& test : cases) {
    for (const Coefficient coefficient : kAll) {
      const Correlation result = coefficient(test.x, test.y);
      EXPECT_TRUE(std::isnan(result.value) && std::isnan(result.p_value)) << testing::PrintToString(test.x);
    }
  }
}

TEST(CorrelationTest, InfinityIsARankButNoNumber) {
  const std::vector<double> x = {1, 2, kInfinity, 4}, y = {1, 3, 9, 5};
  EXPECT_TRUE(std::isnan(Pearson(x, y).value));
  EXPECT_TRUE(std::isnan(Pearson(x, y).p_value));
  EXPECT_EQ(Spearman(x, y).value, 1);
  EXPECT_EQ(KendallTauB(x, y).value, 1);
}

// Under independence a p-value of at most 0.05 comes up in 5 of 100 cases.
TEST(CorrelationTest, PValuesAreUniformUnderIndependence) {
  int small[std::size(kAll)] = {};
  Random random(11);
  for (int repetition = 0; repetition < 4000; ++repetition) {
    std::vector<double> x(12), y(12);
    for (double& value : x) value = random.Uniform();
    for (double& value : y) value = random.Uniform();
    for (size_t i = 0; i < std::size(kAll); ++i) small[i] += kAll[i](x, y).p_value <= 0.05 ? 1 : 0;
  }
  // The standard deviation is 14; Kendall's exact p has steps and stays below 0.05.
  for (const int count : small) {
    EXPECT_GT(count, 130);
    EXPECT_LT(count, 260);
  }
}

TEST(DistanceCorrelationTest, SeesWhatIsNotMonotone) {
  std::vector<double> x, y;
  for (int i = -10; i <= 10; ++i) {
    x.push_back(i);
    y.push_back(i * i);
  }
  EXPECT_NEAR(Pearson(x, y).value, 0, 1e-15);
  EXPECT_GT(DistanceCorrelation({x}, {y}).correlation, 0.4);
  EXPECT_GT(DistanceCorrelation({x}, {y}).unbiased_correlation_sqr, 0.1);
}

// Distances do not see where the points are, nor how they are turned; the correlation does not see the scale.
TEST(DistanceCorrelationTest, StaysUnderMovesTurnsAndScale) {
  Random random(4);
  std::vector<double> points, moved, y;
  for (int i = 0; i < 15; ++i) {
    const double a = random.Uniform(), b = random.Uniform();
    points.insert(points.end(), {a, b});
    moved.insert(moved.end(), {7 + 3 * (0.6 * a - 0.8 * b), 3 * (0.8 * a + 0.6 * b)});
    y.push_back(a + random.Uniform());
  }
  const DistanceStatistics expected = DistanceCorrelation({points, 2}, {y});
  const DistanceStatistics got = DistanceCorrelation({moved, 2}, {y});
  EXPECT_NEAR(got.correlation, expected.correlation, 1e-12);
  EXPECT_NEAR(got.unbiased_correlation_sqr, expected.unbiased_correlation_sqr, 1e-12);
  EXPECT_NEAR(got.covariance_sqr, 3 * expected.covariance_sqr, 1e-12);
}

// The biased statistic of independent values is far from 0 for few points, the unbiased one is not.
TEST(DistanceCorrelationTest, TheUnbiasedOneIsZeroInTheMean) {
  Random random(5);
  double biased = 0, unbiased = 0;
  for (int repetition = 0; repetition < 400; ++repetition) {
    std::vector<double> x(10), y(10);
    for (double& value : x) value = random.Uniform();
    for (double& value : y) value = random.Uniform();
    const DistanceStatistics statistics = DistanceCorrelation({x}, {y});
    biased += statistics.correlation_sqr / 400;
    unbiased += statistics.unbiased_correlation_sqr / 400;
  }
  EXPECT_GT(biased, 0.15);
  EXPECT_NEAR(unbiased, 0, 0.04);
}

TEST(DistanceCorrelationTest, NotDefined) {
  const std::vector<double> four = {1, 2, 3, 4}, three = {1, 2, 3}, bad = {1, kNan, 3, 4}, none;
  for (const DistanceStatistics& got :
       {DistanceCorrelation({none}, {none}), DistanceCorrelation({four}, {three}), DistanceCorrelation({bad}, {four}),
        DistanceCorrelation({three, 2}, {three, 2}), DistanceCorrelation({four, 0}, {four, 0}),
        DistanceCorrelation({four, 2}, {four})}) {
    EXPECT_TRUE(std::isnan(got.correlation) && std::isnan(got.unbiased_correlation_sqr) &&
                std::isnan(got.covariance_sqr) && std::isnan(got.correlation_sqr));
  }
  EXPECT_TRUE(std::isnan(DistanceCorrelation({three}, {three}).unbiased_correlation_sqr));
  EXPECT_NEAR(DistanceCorrelation({three}, {three}).correlation, 1, 1e-14);
  const std::vector<double> constant(4, 7.1);
  EXPECT_EQ(DistanceCorrelation({constant}, {four}).correlation, 0);
  EXPECT_EQ(DistanceCorrelation({constant}, {four}).unbiased_correlation_sqr, 0);
}

}  // namespace
}  // namespace midlayer
