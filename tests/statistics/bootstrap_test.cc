#include "server/statistics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"

namespace midlayer {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> Sample(uint64_t seed, size_t n) {
  Random random(seed);
  std::vector<double> sample(n);
  for (double& value : sample) value = random.Uniform();
  return sample;
}

auto MeanOf(const std::vector<double>& values) {
  return [&values](absl::Span<const size_t> indices) {
    double sum = 0;
    for (const size_t index : indices) sum += values[index];
    return sum / static_cast<double>(indices.size());
  };
}

TEST(BootstrapTest, MeanWithStandardError) {
  const Estimate four = MeanWithStandardError({1.0, 2.0, 3.0, 6.0});
  EXPECT_DOUBLE_EQ(four.value, 3);
  EXPECT_DOUBLE_EQ(four.standard_error, std::sqrt(14.0 / 3 / 4));
  EXPECT_EQ(MeanWithStandardError({5.0}).value, 5);
  EXPECT_TRUE(std::isnan(MeanWithStandardError({5.0}).standard_error));
  EXPECT_TRUE(std::isnan(MeanWithStandardError({}).value));
  EXPECT_TRUE(std::isnan(MeanWithStandardError({}).standard_error));
  EXPECT_TRUE(std::isnan(MeanWithStandardError({1.0, kNan, 2.0}).value));
}

// The index sets of a seed never change.
TEST(BootstrapTest, Resamples) {
  std::vector<std::vector<size_t>> resamples;
  BootstrapReplicates(5,
                      [&resamples](absl::Span<const size_t> indices) {
                        resamples.emplace_back(indices.begin(), indices.end());
                        return 0.0;
                      },
                      {.resamples = 2, .seed = 42});
  EXPECT_THAT(resamples, ElementsAre(ElementsAre(1, 1, 3, 2, 2), ElementsAre(3, 3, 2, 2, 1)));
}

TEST(BootstrapTest, SameSeedSameReplicates) {
  const std::vector<double> values = Sample(1, 30);
  const auto mean = MeanOf(values);
  const std::vector<double> once = BootstrapReplicates(30, mean, {.seed = 5});
  EXPECT_EQ(once.size(), 200u);
  EXPECT_EQ(once, BootstrapReplicates(30, mean, {.seed = 5}));
  EXPECT_NE(once, BootstrapReplicates(30, mean, {.seed = 6}));
  // More resamples go on where fewer end.
  const std::vector<double> more = BootstrapReplicates(30, mean, {.resamples = 300, .seed = 5});
  EXPECT_TRUE(std::equal(once.begin(), once.end(), more.begin()));
}

// What is paired by the seed: the replicates of x and of x + 1 differ by 1 each.
TEST(BootstrapTest, ReplicatesOfTwoLayersArePaired) {
  const std::vector<double> values = Sample(2, 20);
  std::vector<double> raised = values;
  for (double& value : raised) value += 1;
  const std::vector<double> a = BootstrapReplicates(20, MeanOf(values)), b = BootstrapReplicates(20, MeanOf(raised));
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(b[i] - a[i], 1, 1e-12);
}

TEST(BootstrapTest, OfAMeanIsTheStandardErrorOfTheMean) {
  const std::vector<double> values = Sample(3, 100);
  const double expected = MeanWithStandardError(values).standard_error;
  const double got = BootstrapStandardError(BootstrapReplicates(100, MeanOf(values), {.resamples = 4000}));
  EXPECT_NEAR(got, expected, 0.05 * expected);
}

TEST(BootstrapTest, OfAConstantIsZero) { EXPECT_EQ(BootstrapStandardError({3, 3, 3}), 0); }

TEST(BootstrapTest, EndsWhereItIsCancelled) {
  int asked = 0;
  const BootstrapOptions options = {.cancelled = [&asked] { return ++asked > 3; }};
  EXPECT_EQ(BootstrapReplicates(5, MeanOf({1, 2, 3, 4, 5}), options).size(), 3);
}

TEST(BootstrapTest, ReplicatesThatAreNotDefinedAreLeftOut) {
  int calls = 0;
  const auto statistic = [&calls](absl::Span<const size_t>) {
    return ++calls % 2 == 0 ? kNan : static_cast<double>(calls % 4);
  };
  EXPECT_NEAR(BootstrapStandardError(BootstrapReplicates(10, statistic, {.resamples = 400})), 1,
              0.01);  // of 1, 3, 1, 3, …
  EXPECT_TRUE(std::isnan(BootstrapStandardError({kNan, kNan})));
  EXPECT_TRUE(std::isnan(BootstrapStandardError({1})));
  EXPECT_TRUE(std::isnan(BootstrapStandardError({})));
  const auto never = [](absl::Span<const size_t>) { return kNan; };
  EXPECT_THAT(BootstrapReplicates(0, never), IsEmpty());
  EXPECT_THAT(BootstrapReplicates(3, never, {.resamples = -1}), IsEmpty());
  EXPECT_THAT(BootstrapReplicates(1, [](absl::Span<const size_t> indices) { return 1.0 + indices[0]; }), Each(1.0));
}

}  // namespace
}  // namespace midlayer
