#include "server/statistics/ranks.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"

namespace midlayer {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNan;

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

TEST(RanksTest, AverageRanks) {
  EXPECT_THAT(AverageRanks({}), IsEmpty());
  EXPECT_THAT(AverageRanks({7.0}), ElementsAre(1));
  EXPECT_THAT(AverageRanks({3.0, 1.0, 2.0}), ElementsAre(3, 1, 2));
  EXPECT_THAT(AverageRanks({2.0, 1.0, 2.0, 2.0, 0.0}), ElementsAre(4, 2, 4, 4, 1));
  EXPECT_THAT(AverageRanks({5.0, 5.0}), ElementsAre(1.5, 1.5));
  EXPECT_THAT(AverageRanks({kInfinity, 0.0, -0.0, -kInfinity}), ElementsAre(4, 2.5, 2.5, 1));
  EXPECT_THAT(AverageRanks({1.0, kNan, 2.0}), Each(IsNan()));
}

// Whatever the ties, ranks sum to n (n + 1) / 2.
TEST(RanksTest, AverageRanksKeepTheirSum) {
  Random random(1);
  for (int n = 1; n < 40; ++n) {
    std::vector<double> values(n);
    for (double& value : values) value = static_cast<double>(random.Index(8));
    const std::vector<double> ranks = AverageRanks(values);
    EXPECT_EQ(std::accumulate(ranks.begin(), ranks.end(), 0.0), n * (n + 1) / 2.0);
  }
}

TEST(RanksTest, CompetitionRanks) {
  EXPECT_THAT(CompetitionRanks({}, Direction::kMax), IsEmpty());
  EXPECT_THAT(CompetitionRanks({0.1, 0.9, 0.5, 0.5, 0.2}, Direction::kMax), ElementsAre(5, 1, 2, 2, 4));
  EXPECT_THAT(CompetitionRanks({0.1, 0.9, 0.5, 0.5, 0.2}, Direction::kMin), ElementsAre(1, 5, 3, 3, 2));
  EXPECT_THAT(CompetitionRanks({kNan, 2.0, kNan, 3.0}, Direction::kMax), ElementsAre(0, 2, 0, 1));
  EXPECT_THAT(CompetitionRanks({kNan}, Direction::kMin), ElementsAre(0));
  EXPECT_THAT(CompetitionRanks({kInfinity, 1.0, -kInfinity}, Direction::kMin), ElementsAre(3, 2, 1));
}

TEST(RanksTest, BestIndex) {
  EXPECT_EQ(BestIndex({}, Direction::kMax), -1);
  EXPECT_EQ(BestIndex({kNan, kNan}, Direction::kMax), -1);
  EXPECT_EQ(BestIndex({kNan, 1.0, 3.0, 3.0}, Direction::kMax), 2);
  EXPECT_EQ(BestIndex({2.0, kNan, 1.0, 1.0}, Direction::kMin), 2);
  EXPECT_EQ(BestIndex({-kInfinity, kNan}, Direction::kMax), 0);
}

TEST(RanksTest, TieSizes) {
  EXPECT_THAT(TieSizes({}), IsEmpty());
  EXPECT_THAT(TieSizes({1.0, 2.0, 3.0}), IsEmpty());
  EXPECT_THAT(TieSizes({3.0, 1.0, 3.0, 2.0, 1.0, 3.0}), ElementsAre(2, 3));
  EXPECT_THAT(TieSizes({kNan, 1.0, kNan, 1.0}), ElementsAre(2));
}

}  // namespace
}  // namespace midlayer
