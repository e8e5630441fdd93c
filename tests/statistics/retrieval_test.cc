#include "server/statistics/retrieval.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RetrievalTest, RelevantRanks) {
  EXPECT_THAT(RelevantRanks({false, true, false, true}), ElementsAre(2, 4));
  EXPECT_THAT(RelevantRanks({false, false}), IsEmpty());
  EXPECT_THAT(RelevantRanks({}), IsEmpty());
}

TEST(RetrievalTest, Ndcg) {
  EXPECT_EQ(NdcgAt(10, {1, 2, 3}), 1);
  EXPECT_EQ(NdcgAt(10, {3, 1, 2}), 1);  // the order of the relevant ones among each other is none
  EXPECT_NEAR(NdcgAt(10, {2}), 1 / std::log2(3.0), 1e-15);
  EXPECT_NEAR(NdcgAt(10, {1, 3}), 1.5 / (1 + 1 / std::log2(3.0)), 1e-15);
  EXPECT_EQ(NdcgAt(2, {3, 4}), 0);
  // More relevant documents than places: those that do not fit are not asked for.
  EXPECT_EQ(NdcgAt(2, {1, 2, 3, 4, 5}), 1);
  // Not found: counts as relevant, gains nothing.
  EXPECT_NEAR(NdcgAt(10, {1, 0}), 1 / (1 + 1 / std::log2(3.0)), 1e-15);
}

TEST(RetrievalTest, Recall) {
  EXPECT_EQ(RecallAt(3, {1, 3, 4, 9}), 0.5);
  EXPECT_EQ(RecallAt(100, {1, 3, 4, 9}), 1);
  EXPECT_EQ(RecallAt(100, {1, 0}), 0.5);
  EXPECT_EQ(RecallAt(0, {1}), 0);
}

TEST(RetrievalTest, ReciprocalRank) {
  EXPECT_EQ(ReciprocalRank({7, 4, 9}), 0.25);
  EXPECT_EQ(ReciprocalRank({0, 2}), 0.5);
  EXPECT_EQ(ReciprocalRank({0, 0}), 0);
}

TEST(RetrievalTest, NotDefined) {
  EXPECT_TRUE(std::isnan(NdcgAt(10, {})));
  EXPECT_TRUE(std::isnan(RecallAt(10, {})));
  EXPECT_TRUE(std::isnan(ReciprocalRank({})));
  EXPECT_TRUE(std::isnan(NdcgAt(0, {1})));
  EXPECT_TRUE(std::isnan(NdcgAt(-1, {1})));
}

}  // namespace
}  // namespace midlayer
