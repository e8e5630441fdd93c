#include "server/statistics/curve.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNan;

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

TEST(CurveTest, InflectionLayers) {
  const struct {
    const char* what;
    std::vector<double> curve;
    std::vector<int> layers;
  } cases[] = {
      {"flat, then rising", {0, 0, 0, 0, 0, 1, 2, 3, 4, 5}, {4}},
      {"a valley", {4, 3, 2, 1, 0, 1, 2, 3, 4}, {4}},
      {"a peak", {0, 1, 2, 3, 2, 1, 0}, {3}},
      {"a plateau", {0, 1, 2, 3, 3, 3, 3, 3, 2, 1, 0}, {3, 7}},
      {"the sharper turn first", {0, 1, 2, 2, 2, 2, 2, 2, 0, -2}, {7, 2}},
      {"three kinks of four", {0, 0, 0, 0, 4, 8, 12, 12, 12, 12, 6, 0, -6, -6, -6, -6, 1, 8}, {15, 9, 12}},
      {"three layers", {0, 1, 0}, {1}},
      {"next to the end", {0, 0, 0, 0, 0, 0, 1}, {5}},
  };
  for (const auto& test : cases) EXPECT_EQ(InflectionLayers(test.curve), test.layers) << test.what;
}

TEST(CurveTest, CurvesThatDoNotTurn) {
  const std::vector<double> curves[] = {
      {},
      {1},
      {1, 2},
      {3, 3, 3, 3, 3},
      {0, 1, 2, 3, 4, 5, 6},
      {0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1},
      {0, 1, 2, kNan, 0, 0, 0},
      {0, 1, 2, kInfinity, 0, 0, 0},
  };
  for (const auto& curve : curves) EXPECT_THAT(InflectionLayers(curve), IsEmpty()) << testing::PrintToString(curve);
}

// Neither where the curve lies nor its scale or sign changes where it turns.
TEST(CurveTest, StaysUnderShiftAndScale) {
  const std::vector<double> curve = {0.2, 0.21, 0.3, 0.5, 0.62, 0.64, 0.63, 0.5, 0.3, 0.28, 0.27, 0.27};
  const std::vector<int> expected = InflectionLayers(curve);
  ASSERT_EQ(expected.size(), 3u);
  for (const double scale : {1e-6, 3.0, -2.0}) {
    std::vector<double> changed = curve;
    for (double& value : changed) value = 5 * scale + scale * value;
    EXPECT_EQ(InflectionLayers(changed), expected) << scale;
  }
  std::vector<double> reversed(curve.rbegin(), curve.rend());
  std::vector<int> mirrored;
  for (const int layer : expected) mirrored.push_back(11 - layer);
  EXPECT_EQ(InflectionLayers(reversed), mirrored);
}

// A kink in the middle of 24 layers is above the least turn, one of an eighth of its angle is not.
TEST(CurveTest, LeastTurn) {
  std::vector<double> sharp, blunt;
  for (int l = 0; l <= 24; ++l) {
    sharp.push_back(l <= 12 ? 0 : l - 12);
    blunt.push_back(l <= 12 ? l : 12 + 1.125 * (l - 12));
  }
  EXPECT_THAT(InflectionLayers(sharp), ElementsAre(12));
  EXPECT_THAT(InflectionLayers(blunt), IsEmpty());
  EXPECT_THAT(InflectionLayers(blunt, {.least_turn = 0.001}), ElementsAre(12));
  EXPECT_THAT(InflectionLayers(sharp, {.least_turn = 0.1}), IsEmpty());
}

TEST(CurveTest, AtMost) {
  const std::vector<double> curve = {0, 1, 2, 2, 2, 2, 2, 2, 0, -2};
  EXPECT_THAT(InflectionLayers(curve, {.most = 1}), ElementsAre(7));
  EXPECT_THAT(InflectionLayers(curve, {.most = 0}), IsEmpty());
  EXPECT_THAT(InflectionLayers(curve, {.most = -1}), IsEmpty());
}

TEST(CurveTest, RelativeChanges) {
  EXPECT_THAT(RelativeChanges({}), IsEmpty());
  EXPECT_THAT(RelativeChanges({1.0}), IsEmpty());
  EXPECT_THAT(RelativeChanges({2.0, 3.0, 1.5, 0.0, 0.0}), ElementsAre(0.5, -0.5, -1, 0));
  EXPECT_THAT(RelativeChanges({-2.0, -1.0, -3.0}), ElementsAre(0.5, -2));
  EXPECT_THAT(RelativeChanges({0.0, 1.0, kNan, 1.0}), ElementsAre(IsNan(), IsNan(), IsNan()));
}

}  // namespace
}  // namespace midlayer
