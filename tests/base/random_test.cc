#include "server/base/random.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;

// The exact numbers below come from an independent implementation of MT19937-64 and SplitMix64. If one changes, so does
// everything that was ever computed with a seed.

// The value that the C++ standard demands of std::mt19937_64.
TEST(RandomTest, TheTenThousandthNumberOfTheStandardsSeed) {
  Random random(5489);
  for (int i = 1; i < 10000; ++i) random.Bits();
  EXPECT_EQ(random.Bits(), 9981545732273789042u);
}

TEST(RandomTest, Bits) {
  Random random(42);
  EXPECT_EQ(random.Bits(), 13930160852258120406u);
  EXPECT_EQ(random.Bits(), 11788048577503494824u);
  EXPECT_EQ(random.Bits(), 13874630024467741450u);
}

TEST(RandomTest, Index) {
  Random random(42);
  std::vector<uint64_t> indices;
  for (int i = 0; i < 10; ++i) indices.push_back(random.Index(10));
  EXPECT_THAT(indices, ElementsAre(6, 4, 0, 2, 1, 8, 6, 4, 0, 7));
}

// Of 64 bits nearly half are drawn again for this n; the fourth draw of seed 42 is one of them.
TEST(RandomTest, IndexDrawsAgain) {
  Random random(42), bits(42);
  const uint64_t n = (uint64_t{1} << 63) + 1;
  EXPECT_EQ(random.Index(n), 4706788815403344597u);
  EXPECT_EQ(random.Index(n), 2564676540648719015u);
  EXPECT_EQ(random.Index(n), 4651257987612965641u);
  for (int i = 0; i < 3; ++i) bits.Bits();
  EXPECT_LT(bits.Bits(), n - 2);
  EXPECT_EQ(random.Index(n), bits.Bits() - n);
}

TEST(RandomTest, IndexOfNothingAndOfOne) {
  Random random(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(random.Index(0), 0u);
    EXPECT_EQ(random.Index(1), 0u);
  }
}

TEST(RandomTest, IndexIsUniform) {
  Random random(7);
  std::vector<int> counts(6);
  for (int i = 0; i < 60000; ++i) ++counts[random.Index(6)];
  // The standard deviation of one count is 91.
  for (const int count : counts) EXPECT_NEAR(count, 10000, 450);
}

TEST(RandomTest, Uniform) {
  Random random(42);
  EXPECT_EQ(random.Uniform(), 0x1.82a3befaddcbcp-1);
  EXPECT_EQ(random.Uniform(), 0x1.472f1f73724a0p-1);
  EXPECT_EQ(random.Uniform(), 0x1.81192cfe1cbcfp-1);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = random.Uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);  // 5 standard errors
}

TEST(RandomTest, Shuffle) {
  Random random(42);
  std::vector<int> items = {0, 1, 2, 3, 4, 5, 6, 7};
  random.Shuffle(absl::MakeSpan(items));
  EXPECT_THAT(items, ElementsAre(7, 0, 5, 1, 2, 4, 3, 6));
}

TEST(RandomTest, ShuffleOfNothingAndOfOneDrawsNothing) {
  Random random(42);
  std::vector<std::string> items;
  random.Shuffle(absl::MakeSpan(items));
  items = {"only"};
  random.Shuffle(absl::MakeSpan(items));
  EXPECT_THAT(items, ElementsAre("only"));
  EXPECT_EQ(random.Bits(), 13930160852258120406u);
}

TEST(RandomTest, EveryOrderIsAsLikely) {
  Random random(3);
  std::vector<int> counts(27);
  for (int i = 0; i < 12000; ++i) {
    std::vector<int> items = {0, 1, 2};
    random.Shuffle(absl::MakeSpan(items));
    ++counts[items[0] * 9 + items[1] * 3 + items[2]];
  }
  std::erase(counts, 0);
  ASSERT_EQ(counts.size(), 6u);
  for (const int count : counts) EXPECT_NEAR(count, 2000, 205);  // 5 standard deviations
}

TEST(RandomTest, Sample) {
  Random random(42);
  EXPECT_THAT(random.Sample(20, 5), ElementsAre(6, 0, 1, 2, 9));
  EXPECT_TRUE(random.Sample(20, 0).empty());
  EXPECT_TRUE(random.Sample(0, 3).empty());
  const std::vector<size_t> all = random.Sample(4, 9);
  EXPECT_THAT(all, ::testing::UnorderedElementsAre(0, 1, 2, 3));
}

TEST(RandomTest, SampledIndicesDifferAndEachIsAsLikely) {
  Random random(5);
  std::vector<int> counts(10);
  for (int i = 0; i < 10000; ++i) {
    const std::vector<size_t> sample = random.Sample(10, 3);
    ASSERT_EQ(std::set<size_t>(sample.begin(), sample.end()).size(), 3u);
    for (const size_t index : sample) ++counts[index];
  }
  for (const int count : counts) EXPECT_NEAR(count, 3000, 230);  // 5 standard deviations
}

TEST(RandomTest, SubSeeds) {
  EXPECT_EQ(Random::SubSeed(0, 0), 0xa706dd2f4d197e6fu);
  EXPECT_EQ(Random::SubSeed(0, 1), 0x2a98f501af37e97fu);
  EXPECT_EQ(Random::SubSeed(42, 0), 0x57e1faba65107204u);
  EXPECT_EQ(Random::SubSeed(42, 1), 0xfa4f945599f9054au);
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (uint64_t stream = 0; stream < 100; ++stream) seeds.insert(Random::SubSeed(seed, stream));
  }
  EXPECT_EQ(seeds.size(), 10000u);
}

}  // namespace
}  // namespace midlayer
