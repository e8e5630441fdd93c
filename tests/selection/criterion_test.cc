#include "server/selection/criterion.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::HasSubstr;

TEST(MetricTest, NamesAreUniqueAndFound) {
  for (const Metric& metric : AllMetrics()) EXPECT_EQ(FindMetric(metric.name), &metric) << metric.name;
  EXPECT_EQ(FindMetric("Prompt_Entropy"), nullptr);
  EXPECT_EQ(FindMetric(""), nullptr);
}

// What is observed is stronger than theory; the two differ where published curves say so.
TEST(MetricTest, DirectionsFollowWhatWasObserved) {
  EXPECT_EQ(FindMetric("infonce")->theory, Direction::kMin);
  EXPECT_EQ(FindMetric("infonce")->direction(), Direction::kMax);
  EXPECT_EQ(FindMetric("dime")->direction(), Direction::kMin);
  EXPECT_EQ(FindMetric("rankme")->direction(), Direction::kMax);
  EXPECT_EQ(FindMetric("intrinsic_dimension")->direction(), Direction::kMin);
}

TEST(MetricTest, EvidenceIsOfTasksOfHalvesOrOfSpectra) {
  EXPECT_EQ(FindMetric("pair_spearman")->evidence(), Evidence::kTask);
  EXPECT_EQ(FindMetric("linear_probe_accuracy")->evidence(), Evidence::kTask);
  EXPECT_EQ(FindMetric("self_retrieval_mrr")->evidence(), Evidence::kSelfRetrieval);
  EXPECT_EQ(FindMetric("lidar")->evidence(), Evidence::kSpectral);
}

// Every spelling of one criterion comes out as the same text: it goes into ids.
TEST(ParseCriterionTest, GivesOneSpelling) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "auto"},
      {"auto", "auto"},
      {"valley", "valley"},
      {"prompt_entropy", "prompt_entropy:min"},
      {"prompt_entropy:max", "prompt_entropy:max"},
      {"infonce=1", "infonce:max"},
      {"silhouette_cosine=2,curvature", "silhouette_cosine:max=2,curvature:min"},
      {"curvature:min=0.5,dime:max=1e1", "curvature:min=0.5,dime:max=10"},
  };
  for (const auto& [text, expected] : cases) {
    const auto criterion = ParseCriterion(text);
    ASSERT_TRUE(criterion.ok()) << text << ": " << criterion.status();
    EXPECT_EQ(criterion->text, expected);
    EXPECT_EQ(ParseCriterion(criterion->text)->text, expected) << "reads its own spelling";
  }
}

TEST(ParseCriterionTest, RefusesWhatItDoesNotKnow) {
  const std::pair<const char*, const char*> cases[] = {
      {"entropy", "found entropy"},
      {"prompt_entropy:up", "expected min or max behind :, found prompt_entropy:up"},
      {"prompt_entropy=0", "expected a weight above 0"},
      {"prompt_entropy=-1", "expected a weight above 0"},
      {"prompt_entropy=nan", "expected a weight above 0"},
      {"prompt_entropy=x", "expected a weight above 0"},
      {"prompt_entropy,", "expected auto, valley, or METRIC"},
      {"auto,prompt_entropy", "found auto"},
      {"dime,dime:max", "dime twice"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = ParseCriterion(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace midlayer
