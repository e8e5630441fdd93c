#include "server/engine/score_plan.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/score_rounds.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Dataset SetOf(const std::vector<Example>& examples, int64_t sample = 1000) {
  DatasetBuilder builder({});
  for (const Example& example : examples) EXPECT_TRUE(builder.Add(example).ok());
  return builder.Finish(sample, 0).value();
}

std::vector<Example> Texts(int count) {
  std::vector<Example> examples;
  for (int i = 0; i < count; ++i) examples.push_back({.text = absl::StrCat("one two three four five six seven ", i)});
  return examples;
}

ScorePlan PlanOf(const Dataset& dataset, std::vector<std::string> metrics = {}, ScoreTask task = {}) {
  task.metrics = std::move(metrics);
  if (task.criterion.text.empty()) task.criterion = ParseCriterion("auto").value();
  const auto plan = MakePlan(task, dataset);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(ScorePlan());
}

// The text whose vector is in a row.
std::string TextAt(const ScorePlan& plan, int64_t row) {
  const auto pass =
      std::find_if(plan.passes.begin(), plan.passes.end(), [row](const Pass& each) { return each.row == row; });
  return pass == plan.passes.end() ? "none" : pass->text;
}

// Every row is filled by one pass, and every slot.
void ExpectWhole(const ScorePlan& plan) {
  std::set<int64_t> rows, slots;
  for (const Pass& pass : plan.passes) {
    EXPECT_TRUE(pass.row < 0 || rows.insert(pass.row).second);
    EXPECT_TRUE(pass.token_slot < 0 || slots.insert(pass.token_slot).second);
    EXPECT_TRUE(pass.row >= 0 || pass.token_slot >= 0 || pass.viewed >= 0) << "for nothing: " << pass.text;
  }
  EXPECT_EQ(static_cast<int64_t>(rows.size()), plan.rows);
  EXPECT_EQ(slots.size(), plan.token_indices.size());
}

TEST(ScorePlanTest, EqualTextsGoThroughTheModelOnce) {
  std::vector<Example> examples = Texts(3);
  examples.push_back(examples[0]);
  const ScorePlan plan = PlanOf(SetOf(examples), {"unlabelled"});
  ExpectWhole(plan);
  EXPECT_THAT(plan.passes, SizeIs(3));
  EXPECT_EQ(plan.texts, (std::vector<int64_t>{0, 1, 2, 0}));
  EXPECT_THAT(plan.token_indices, ElementsAre(0, 1, 2));
}

TEST(ScorePlanTest, HalvesAreOfTheSameText) {
  std::vector<Example> examples = Texts(3);
  examples.push_back({.text = "short"});
  const ScorePlan plan = PlanOf(SetOf(examples), {"self_retrieval", "masked_self_retrieval"});
  ExpectWhole(plan);
  EXPECT_THAT(plan.half_indices, ElementsAre(0, 1, 2));
  EXPECT_EQ(TextAt(plan, plan.first_halves[1]) + " " + TextAt(plan, plan.second_halves[1]), examples[1].text);
  EXPECT_EQ(plan.skipped.at("too short to be cut in halves").indices, std::vector<uint64_t>{3});
  EXPECT_THAT(plan.masked_indices, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.texts, IsEmpty()) << "nobody asked for them";
}

TEST(ScorePlanTest, ViewsOfATextStandSideBySideAndTwoAreKept) {
  ScoreTask task;
  task.views = 4;
  const ScorePlan plan = PlanOf(SetOf(Texts(3)), {"views"}, task);
  ExpectWhole(plan);
  EXPECT_THAT(plan.passes, SizeIs(12));
  EXPECT_EQ(plan.rows, 6);
  for (size_t i = 0; i < plan.passes.size(); ++i) {
    EXPECT_EQ(plan.passes[i].viewed, static_cast<int64_t>(i / 4));
    EXPECT_EQ(plan.passes[i].view, static_cast<int>(i % 4));
  }
  EXPECT_NE(TextAt(plan, plan.first_views[0]), TextAt(plan, plan.second_views[0]));
  task.seed = 1;
  EXPECT_NE(PlanOf(SetOf(Texts(3)), {"views"}, task).passes[0].text, plan.passes[0].text);
}

TEST(ScorePlanTest, LabelsAndScoresBelongToTheirTexts) {
  std::vector<Example> examples = Texts(4);
  for (size_t i = 0; i < 4; ++i) examples[i].label = i % 2 == 0 ? "b" : "a";
  const ScorePlan labels = PlanOf(SetOf(examples), {"labelled"});
  EXPECT_THAT(labels.labels, ElementsAre(1, 0, 1, 0));
  EXPECT_EQ(TextAt(labels, labels.labelled[2]), examples[2].text);
  examples = Texts(3);
  for (size_t i = 0; i < 3; ++i) {
    examples[i].paired_text = absl::StrCat("other ", i);
    examples[i].score = 0.5 * static_cast<double>(i);
  }
  const ScorePlan pairs = PlanOf(SetOf(examples), {"paired"});
  ExpectWhole(pairs);
  EXPECT_EQ(TextAt(pairs, pairs.pair_second[2]), "other 2");
  EXPECT_THAT(pairs.pair_scores, ElementsAre(0, 0.5, 1));
}

TEST(ScorePlanTest, QueriesNameTheirPassagesByPlace) {
  const std::vector<Example> examples = {{.text = "query a", .relevant_ids = {"2", "1", "2"}},
                                         {.text = "first passage", .id = "1", .passage = true},
                                         {.text = "second passage", .id = "2", .passage = true},
                                         {.text = "query b", .paired_text = "third passage"}};
  const ScorePlan plan = PlanOf(SetOf(examples), {"paired", "prompt_entropy"});
  ExpectWhole(plan);
  ASSERT_THAT(plan.passages, SizeIs(3));
  EXPECT_THAT(plan.relevant, ElementsAre(ElementsAre(0, 1), ElementsAre(2)));
  EXPECT_EQ(TextAt(plan, plan.passages[2]), "third passage");
  EXPECT_EQ(TextAt(plan, plan.queries[1]), "query b");
  EXPECT_THAT(plan.token_indices, SizeIs(3)) << "unlabelled metrics are of the passages";
}

TEST(ScorePlanTest, WithoutNamesEverythingCheapIsMeasuredAndCriteriaAddTheirOwn) {
  const auto names = [](const ScorePlan& plan) {
    std::set<std::string> of;
    for (const Metric* metric : plan.metrics) of.insert(std::string(metric->name));
    return of;
  };
  const auto all = names(PlanOf(SetOf(Texts(5))));
  EXPECT_TRUE(all.contains("curvature") && all.contains("rankme") && all.contains("self_retrieval_mrr"));
  EXPECT_FALSE(all.contains("dime") || all.contains("self_retrieval_masked_mrr") || all.contains("knn_accuracy"));
  ScoreTask task;
  task.criterion = ParseCriterion("lidar,curvature").value();
  EXPECT_EQ(names(PlanOf(SetOf(Texts(5)), {"nesum"}, task)), (std::set<std::string>{"curvature", "lidar", "nesum"}));
}

TEST(ScorePlanTest, RestrictedItIsOverSomeExamplesWithTheirRows) {
  ScoreTask task;
  task.views = 2;
  const ScorePlan plan = PlanOf(SetOf(Texts(6)), {"unlabelled", "self_retrieval", "views"}, task);
  const ScorePlan part = Restrict(plan, {1, 4});
  EXPECT_THAT(part.half_indices, ElementsAre(1, 4));
  EXPECT_THAT(part.first_halves, ElementsAre(plan.first_halves[1], plan.first_halves[4]));
  EXPECT_THAT(part.second_halves, ElementsAre(plan.second_halves[1], plan.second_halves[4]));
  EXPECT_THAT(part.texts, ElementsAre(plan.texts[1], plan.texts[4]));
  EXPECT_THAT(part.views_of, ElementsAre(1, 4));
  EXPECT_THAT(part.second_views, ElementsAre(plan.second_views[1], plan.second_views[4]));
}

TEST(ScorePlanTest, RestrictedQueriesKeepTheirPassages) {
  std::vector<Example> examples;
  for (int i = 0; i < 4; ++i)
    examples.push_back({.text = absl::StrCat("passage ", i), .id = absl::StrCat(i), .passage = true});
  for (int i = 0; i < 4; ++i)
    examples.push_back({.text = absl::StrCat("query ", i), .relevant_ids = {absl::StrCat(i)}});
  const ScorePlan part = Restrict(PlanOf(SetOf(examples), {"paired"}), {4, 5, 7});
  EXPECT_THAT(part.relevant, ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(3)));
  EXPECT_THAT(part.passages, SizeIs(4));
}

TEST(ScorePlanTest, LabelledQueriesHaveBoth) {
  std::vector<Example> examples = {{.text = "a passage", .id = "1", .passage = true}};
  for (int i = 0; i < 4; ++i) {
    examples.push_back({.text = absl::StrCat("query ", i), .label = i < 2 ? "x" : "y", .relevant_ids = {"1"}});
  }
  const ScorePlan plan = PlanOf(SetOf(examples), {"paired", "labelled"});
  EXPECT_EQ(plan.labelled, plan.queries);
  EXPECT_THAT(plan.labels, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(plan.example_indices, ElementsAre(1, 2, 3, 4));
}

// A text that two examples share has one pass, which must be there for whichever is measured first.
TEST(ScoreRoundsTest, SharedTextsComeFirst) {
  std::vector<Example> examples = Texts(40);
  for (int i = 20; i < 40; ++i) examples[static_cast<size_t>(i)].text = examples[static_cast<size_t>(i - 20)].text;
  ScoreTask task;
  task.stop_early = true;
  task.criterion = ParseCriterion("prompt_entropy").value();
  const ScorePlan plan = PlanOf(SetOf(examples), {"unlabelled"}, task);
  const ScoreRounds rounds(task, plan);
  ASSERT_GT(rounds.count(), 1);
  EXPECT_THAT(rounds.Measured(3), SizeIs(40)) << "also those that have no pass of their own";
  for (const Pass& pass : plan.passes) EXPECT_EQ(rounds.RoundOf(pass), 0);
}

TEST(ScoreRoundsTest, EveryExampleHasOneRoundAndAllItsPassesAreInIt) {
  ScoreTask task;
  task.stop_early = true;
  const ScorePlan plan = PlanOf(SetOf(Texts(40)), {"self_retrieval", "prompt_entropy"}, task);
  task.criterion = ParseCriterion("auto").value();
  const ScoreRounds rounds(task, plan);
  ASSERT_EQ(rounds.count(), ScoreRounds::kLooks);
  EXPECT_THAT(rounds.Measured(0), SizeIs(10));
  EXPECT_THAT(rounds.Measured(3), SizeIs(40));
  for (const Pass& pass : plan.passes) {
    const int round = rounds.RoundOf(pass);
    EXPECT_TRUE(rounds.Measured(round).contains(pass.index));
    EXPECT_TRUE(round == 0 || !rounds.Measured(round - 1).contains(pass.index));
  }
}

TEST(ScoreRoundsTest, OnlyAMeanOverExamplesCanBeSettled) {
  const ScorePlan plan = PlanOf(SetOf(Texts(5)), {"unlabelled", "self_retrieval", "views"});
  const auto settling = [&](const char* criterion) -> std::string {
    ScoreTask task;
    task.stop_early = true;
    task.criterion = ParseCriterion(criterion).value();
    const Metric* metric = SettlingMetric(task, plan);
    EXPECT_EQ(ScoreRounds(task, plan).count() > 1, metric != nullptr);
    return metric == nullptr ? "none" : std::string(metric->name);
  };
  EXPECT_EQ(settling("auto"), "self_retrieval_mrr");
  EXPECT_EQ(settling("prompt_entropy"), "prompt_entropy");
  for (const char* criterion : {"rankme", "dime", "lidar", "valley", "curvature,prompt_entropy"}) {
    EXPECT_EQ(settling(criterion), "none") << criterion;
  }
}

}  // namespace
}  // namespace midlayer
