#include "server/statistics/ties.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"
#include "server/statistics/bootstrap.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

LayerTies Ties(const LayerMeasurements& measurements) {
  const auto ties = LayersTiedWithBest(measurements);
  EXPECT_TRUE(ties.ok()) << ties.status();
  return ties.value_or(LayerTies());
}

TEST(TiesTest, WithStandardErrors) {
  // 0.50 and 0.60 differ by 0.1: 2 sqrt(0.03^2 + 0.04^2) is exactly that, but for rounding.
  const std::vector<double> values = {0.49, 0.50, 0.60, 0.58, 0.30}, errors = {0.03, 0.0301, 0.04, 0.01, 0.5};
  const LayerTies ties = Ties({.values_L = values, .standard_errors_L = errors});
  EXPECT_EQ(ties.best, 2);
  EXPECT_THAT(ties.tied_L, ElementsAre(false, true, true, true, true));
  EXPECT_EQ(ties.shallowest, 1);
  const LayerTies lowest = Ties({Direction::kMin, values, errors});
  EXPECT_EQ(lowest.best, 4);
  EXPECT_THAT(lowest.tied_L, ElementsAre(true, true, true, true, true));
  EXPECT_EQ(lowest.shallowest, 0);
}

TEST(TiesTest, WithoutErrorsOnlyEqualValuesTie) {
  const LayerTies ties = Ties({.values_L = {0.1, 0.7, 0.699999, 0.7}});
  EXPECT_EQ(ties.best, 1);
  EXPECT_THAT(ties.tied_L, ElementsAre(false, true, false, true));
  const LayerTies unknown = Ties({.values_L = {0.6, 0.7, 0.65}, .standard_errors_L = {0.5, kNan, 0.5}});
  EXPECT_THAT(unknown.tied_L, ElementsAre(false, true, false));
}

TEST(TiesTest, NanNeverTies) {
  const LayerTies ties = Ties({.values_L = {kNan, 1.0, 0.9}, .standard_errors_L = {9.0, 0.1, 0.1}});
  EXPECT_EQ(ties.best, 1);
  EXPECT_THAT(ties.tied_L, ElementsAre(false, true, true));
  const LayerTies none = Ties({.values_L = {kNan, kNan}});
  EXPECT_EQ(none.best, -1);
  EXPECT_EQ(none.shallowest, -1);
  EXPECT_THAT(none.tied_L, ElementsAre(false, false));
  EXPECT_EQ(Ties({}).best, -1);
}

TEST(TiesTest, Infinity) {
  const LayerTies ties = Ties({.values_L = {1.0, kInfinity, kInfinity}, .standard_errors_L = {1.0, 1.0, kNan}});
  EXPECT_EQ(ties.best, 1);
  EXPECT_THAT(ties.tied_L, ElementsAre(false, true, true));
}

// Examples differ much, layers little but always: the unpaired errors hide what the paired ones show.
TEST(TiesTest, PairedDifferencesSeeWhatIndependentErrorsDoNot) {
  Random random(1);
  constexpr size_t kExamples = 50;
  std::vector<double> examples(3 * kExamples);
  for (size_t i = 0; i < kExamples; ++i) {
    const double difficulty = random.Uniform();
    examples[i] = difficulty + 0.02 * random.Uniform();
    examples[kExamples + i] = difficulty + 0.05 + 0.02 * random.Uniform();
    examples[2 * kExamples + i] = difficulty + 0.05 + 0.02 * random.Uniform();
  }
  std::vector<double> values, errors;
  for (size_t l = 0; l < 3; ++l) {
    const Estimate mean = MeanWithStandardError(absl::MakeSpan(examples).subspan(l * kExamples, kExamples));
    values.push_back(mean.value);
    errors.push_back(mean.standard_error);
  }
  EXPECT_THAT(Ties({.values_L = values, .standard_errors_L = errors}).tied_L, ElementsAre(true, true, true));
  EXPECT_THAT(Ties({Direction::kMax, values, errors, examples}).tied_L, ElementsAre(false, true, true));
  EXPECT_EQ(Ties({Direction::kMax, values, errors, examples}).shallowest, 1);
}

TEST(TiesTest, TwoStandardErrorsOfThePairedDifference) {
  // Differences 1 and 3: mean 2, standard error 1. Differences 2 and 4: mean 3, standard error 1.
  EXPECT_THAT(Ties({.values_L = {2, 0}, .examples_LN = {1, 3, 0, 0}}).tied_L, ElementsAre(true, true));
  EXPECT_THAT(Ties({.values_L = {3, 0}, .examples_LN = {2, 4, 0, 0}}).tied_L, ElementsAre(true, false));
}

TEST(TiesTest, ExamplesWithoutAValueAreLeftOut) {
  // Of the second layer's differences 1, NaN, 3; with one left only, the errors given count.
  EXPECT_THAT(Ties({.values_L = {2, 0}, .examples_LN = {1, 9, 3, 0, kNan, 0}}).tied_L, ElementsAre(true, true));
  const std::vector<double> one_left = {1, 9, 3, 0, kNan, kNan}, small = {0.1, 0.1}, large = {1, 1};
  EXPECT_THAT(Ties({Direction::kMax, {2, 0}, small, one_left}).tied_L, ElementsAre(true, false));
  EXPECT_THAT(Ties({Direction::kMax, {2, 0}, large, one_left}).tied_L, ElementsAre(true, true));
}

TEST(TiesTest, ReplicatesOfTheSameResamplesArePaired) {
  // The second layer is lower by 1, 3 and 2 in the three resamples: standard deviation 1. The errors given would tie.
  const std::vector<double> replicates = {5, 9, 1, 4, 6, -1}, large = {4, 4};
  EXPECT_THAT(Ties({.values_L = {1.99, 0}, .replicates_LR = replicates}).tied_L, ElementsAre(true, true));
  EXPECT_THAT(Ties({.values_L = {2.1, 0}, .standard_errors_L = large, .replicates_LR = replicates}).tied_L,
              ElementsAre(true, false));
  EXPECT_THAT(Ties({.values_L = {2.1, 0}, .standard_errors_L = large, .replicates_LR = {kNan, 9, kNan, 6}}).tied_L,
              ElementsAre(true, true))
      << "one resample left: not paired";
}

TEST(TiesTest, BadSizes) {
  const std::vector<double> one = {1}, two = {1, 2}, three = {1, 2, 3};
  const struct {
    LayerMeasurements measurements;
    std::string message;
  } cases[] = {
      {{.values_L = two, .standard_errors_L = one}, "standard_errors_L: expected one for each of 2 layers, found 1"},
      {{.values_L = two, .examples_LN = three}, "examples_LN: expected as many values for each of 2 layers, found 3"},
      {{.values_L = two, .replicates_LR = three},
       "replicates_LR: expected as many values for each of 2 layers, found 3"},
      {{.examples_LN = one}, "examples_LN: expected as many values for each of 0 layers, found 1"},
  };
  for (const auto& test : cases) {
    const absl::Status status = LayersTiedWithBest(test.measurements).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace midlayer
