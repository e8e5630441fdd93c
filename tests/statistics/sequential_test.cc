#include "server/statistics/sequential.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"

namespace midlayer {
namespace {

using ::testing::HasSubstr;

const double kNan = std::numeric_limits<double>::quiet_NaN();

// How the value of an example comes about: its difficulty, which all layers share, and noise of each layer's own.
struct World {
  std::vector<double> means_L;
  bool binary = false;  // right or wrong, with means as probabilities, instead of numbers
};

constexpr size_t kStep = 40;  // examples from look to look
constexpr int kLooks = 5;

std::vector<double> Draw(const World& world, size_t examples, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(world.means_L.size() * examples);
  for (size_t i = 0; i < examples; ++i) {
    const double difficulty = random.Uniform();
    for (size_t l = 0; l < world.means_L.size(); ++l) {
      double& value = values[l * examples + i];
      if (world.binary) {
        value = random.Uniform() < world.means_L[l] ? 1 : 0;
      } else {
        value = world.means_L[l] + 3 * difficulty + random.Uniform() + random.Uniform();
      }
    }
  }
  return values;
}

// The first `seen` examples of each layer.
std::vector<double> Seen(const std::vector<double>& values_LN, size_t layers, size_t seen) {
  std::vector<double> first;
  for (size_t l = 0; l < layers; ++l) {
    const auto begin = values_LN.begin() + l * (values_LN.size() / layers);
    first.insert(first.end(), begin, begin + seen);
  }
  return first;
}

// What the first look that settles says, or the last look.
SequentialLook RunLooks(const World& world, uint64_t seed, const SequentialOptions& options) {
  const size_t layers = world.means_L.size();
  const std::vector<double> values = Draw(world, kLooks * kStep, seed);
  SequentialLook look;
  for (int k = 1; k <= kLooks && !look.settled; ++k) {
    look = LookAtLeader(Seen(values, layers, k * kStep), static_cast<int>(layers), options).value();
  }
  return look;
}

// The share of runs that settle on a layer that is not better than each one it was compared with.
double ErrorRate(const World& world, const SequentialOptions& options, int runs) {
  int errors = 0;
  for (int run = 0; run < runs; ++run) {
    const SequentialLook look = RunLooks(world, Random::SubSeed(77, run), options);
    bool wrong = false;
    for (int l = 0; look.settled && l < std::ssize(world.means_L); ++l) {
      const bool compared = std::abs(l - look.leader) > options.neighbours;
      wrong |= compared && world.means_L[l] >= world.means_L[look.leader];
    }
    errors += wrong ? 1 : 0;
  }
  return static_cast<double>(errors) / runs;
}

// Where two layers are equal, each settled run is an error. 0.05 and 3 standard errors of 4,000 runs: 0.0603.
TEST(SequentialTest, HoldsItsLevelForTwoEqualLayers) {
  for (const bool binary : {false, true}) {
    const World world = {{0.5, 0.5}, binary};
    const double rate = ErrorRate(world, {.looks = kLooks, .neighbours = 0}, 4000);
    EXPECT_LT(rate, 0.0603) << binary;
    EXPECT_GT(rate, 0.005) << "settles nothing: the test proves nothing";
  }
}

// The same data, looked at as often as if each look were the only one: what the division by the looks is for.
TEST(SequentialTest, LooksThatAreNotCountedBreakTheLevel) {
  EXPECT_GT(ErrorRate({{0.5, 0.5}}, {.looks = 1, .neighbours = 0}, 2000), 0.08);
}

TEST(SequentialTest, HoldsItsLevelForManyLayers) {
  const World worlds[] = {
      {{0, 0, 0, 0, 0, 0, 0}},
      {{0, 1, 0, 0, 0, 1, 0}},                 // two equal ones, far from each other
      {{0.2, 0.2, 0.8, 0.2, 0.8, 0.2}, true},  // and with answers that are right or wrong
      {{0, 0.3, 0.28, 0.3, 0.02, 0.05}},
  };
  for (const World& world : worlds) {
    EXPECT_LT(ErrorRate(world, {.looks = kLooks}, 1500), 0.05 + 3 * std::sqrt(0.05 * 0.95 / 1500));
  }
}

TEST(SequentialTest, SettlesWhatIsClear) {
  const World world = {{0, 0.1, 0.3, 0.9, 0.4, 0.1}};
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const SequentialLook look = RunLooks(world, seed, {.looks = kLooks});
    EXPECT_TRUE(look.settled);
    EXPECT_EQ(look.leader, 3);
    EXPECT_LE(look.p_value, look.threshold);
    EXPECT_DOUBLE_EQ(look.threshold, 0.05 / (kLooks * 6));
  }
}

TEST(SequentialTest, DirectionTurnsTheSigns) {
  World world = {{0.5, 0.4, 0.1, 0.6}};
  const std::vector<double> values = Draw(world, 100, 3);
  std::vector<double> negated = values;
  for (double& value : negated) value = -value;
  const auto min = LookAtLeader(values, 4, {.direction = Direction::kMin, .neighbours = 0}).value();
  const auto max = LookAtLeader(negated, 4, {.direction = Direction::kMax, .neighbours = 0}).value();
  EXPECT_EQ(min.leader, 2);
  EXPECT_EQ(max.leader, 2);
  EXPECT_DOUBLE_EQ(min.p_value, max.p_value);
  EXPECT_EQ(min.settled, max.settled);
}

// Layers 2 and 3 are the same: neighbours do not keep each other from being chosen.
TEST(SequentialTest, NeighboursAreNotCompared) {
  const World world = {{0, 0, 2, 2, 0}};
  const std::vector<double> values = Draw(world, 200, 1);
  EXPECT_TRUE(LookAtLeader(values, 5, {}).value().settled);
  EXPECT_FALSE(LookAtLeader(values, 5, {.neighbours = 0}).value().settled);
}

TEST(SequentialTest, PValueIsThatOfTheSignTestForRightAndWrong) {
  // Of 40 answers, layer 0 is right in 9 more and wrong in none that layer 1 has right: z = 9 / sqrt(9).
  std::vector<double> values(80, 1.0);
  for (int i = 0; i < 9; ++i) values[40 + i] = 0;
  const SequentialLook look = LookAtLeader(values, 2, {.neighbours = 0}).value();
  EXPECT_EQ(look.leader, 0);
  EXPECT_NEAR(look.p_value, 0.0013498980316301, 1e-12);
}

TEST(SequentialTest, TooFewExamplesSettleNothing) {
  std::vector<double> clear(2 * 29, 0.0);
  for (int i = 0; i < 29; ++i) clear[i] = 1;
  const SequentialLook few = LookAtLeader(clear, 2, {.neighbours = 0}).value();
  EXPECT_EQ(few.leader, 0);
  EXPECT_FALSE(few.settled);
  EXPECT_TRUE(LookAtLeader(clear, 2, {.neighbours = 0, .least_examples = 29}).value().settled);
  EXPECT_FALSE(LookAtLeader({}, 2, {.least_examples = 0}).value().settled);
}

TEST(SequentialTest, MissingValues) {
  constexpr size_t kExamples = 60;
  std::vector<double> values(3 * kExamples, kNan);
  for (size_t i = 0; i < kExamples; ++i) values[i] = 1, values[2 * kExamples + i] = 0;
  // Layer 1 has no values and is out; layer 2 has enough, then too few.
  EXPECT_TRUE(LookAtLeader(values, 3, {.neighbours = 0}).value().settled);
  for (size_t i = 0; i < 40; ++i) values[2 * kExamples + i] = kNan;
  const SequentialLook few = LookAtLeader(values, 3, {.neighbours = 0}).value();
  EXPECT_EQ(few.leader, 0);
  EXPECT_FALSE(few.settled);
  EXPECT_EQ(few.p_value, 1);
  const std::vector<double> nothing(2 * kExamples, kNan);
  EXPECT_EQ(LookAtLeader(nothing, 2, {}).value().leader, -1);
  EXPECT_FALSE(LookAtLeader(nothing, 2, {}).value().settled);
}

TEST(SequentialTest, InfiniteValuesSettleNothing) {
  std::vector<double> values(120, 1.0);
  std::fill(values.begin() + 60, values.end(), 0.0);
  ASSERT_TRUE(LookAtLeader(values, 2, {.neighbours = 0}).value().settled);
  values[0] = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(LookAtLeader(values, 2, {.neighbours = 0}).value().settled);
}

// The same values at two layers: nothing is better.
TEST(SequentialTest, EqualLayersAreNeverSettled) {
  const SequentialLook look = LookAtLeader(std::vector<double>(200, 3.0), 2, {.neighbours = 0}).value();
  EXPECT_EQ(look.leader, 0);
  EXPECT_EQ(look.p_value, 1);
  EXPECT_FALSE(look.settled);
}

TEST(SequentialTest, BadInput) {
  const std::vector<double> four = {1, 2, 3, 4};
  const struct {
    int layers;
    SequentialOptions options;
    std::string message;
  } cases[] = {
      {0, {}, "examples_LN: expected as many values for each of 0 layers, found 4"},
      {-1, {}, "for each of -1 layers"},
      {3, {}, "for each of 3 layers, found 4"},
      {2, {.looks = 0}, "looks: expected at least 1, found 0"},
      {2, {.alpha = 0}, "alpha: expected a number between 0 and 1, found 0"},
      {2, {.alpha = kNan}, "alpha: expected"},
      {2, {.neighbours = -1}, "neighbours: expected at least 0, found -1"},
  };
  for (const auto& test : cases) {
    const absl::Status status = LookAtLeader(four, test.layers, test.options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace midlayer
