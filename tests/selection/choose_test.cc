#include "server/selection/choose.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A judged curve with one standard error for all layers.
Curve CurveOf(const std::string& metric, const std::vector<double>& values, double error = 0.001,
              const std::string& pooling = "mean") {
  Curve curve;
  curve.metric = FindMetric(metric);
  curve.pooling = curve.metric->group == MetricGroup::kTokens ? "" : pooling;
  curve.direction = curve.metric->direction();
  for (const double value : values) curve.layers.push_back({.value = value, .standard_error = error});
  Judge(curve);
  return curve;
}

// A sentence-transformers model of 6 blocks, and one that was trained on next words.
constexpr ModelTraits kTrained = {.layers = 6, .max_layer = 6, .pooled_last_layer_was_trained = true};
constexpr ModelTraits kPlain = {.layers = 6, .max_layer = 6};

Choice Chosen(const std::vector<Curve>& curves, const ModelTraits& model, const std::string& criterion = "auto") {
  const auto choice = Choose(ParseCriterion(criterion).value(), curves, model);
  EXPECT_TRUE(choice.ok()) << choice.status();
  return choice.value_or(Choice());
}

TEST(JudgeTest, RanksTiesAndBestLayer) {
  const Curve curve = CurveOf("retrieval_mrr", {0.1, 0.5, kNan, 0.501, 0.3});
  EXPECT_EQ(curve.best_layer, 3);
  std::vector<int> ranks, ties;
  for (size_t i = 0; i < curve.layers.size(); ++i) {
    ranks.push_back(curve.layers[i].rank);
    if (curve.layers[i].ties_with_best) ties.push_back(static_cast<int>(i));
  }
  EXPECT_THAT(ranks, ElementsAre(4, 2, 0, 1, 3));
  EXPECT_THAT(ties, ElementsAre(1, 3));
}

// An example that is hard is hard at every layer: that layers differ by little, but always, is no tie.
TEST(JudgeTest, ExamplesArePaired) {
  Curve curve;
  curve.metric = FindMetric("retrieval_mrr");
  curve.direction = Direction::kMax;
  curve.layers.resize(2);
  for (int i = 0; i < 100; ++i) {
    const float hard = static_cast<float>(i) / 100;
    curve.layers[0].examples.push_back(hard + (i % 2 == 0 ? 0.001F : 0));
    curve.layers[1].examples.push_back(hard + 0.01F);
  }
  curve.layers[0].value = 0.4955;
  curve.layers[1].value = 0.505;
  for (LayerScore& layer : curve.layers) layer.standard_error = 0.029;
  Judge(curve);
  EXPECT_FALSE(curve.layers[0].ties_with_best);
}

// What was measured on all-MiniLM-L6-v2: spectra and silhouette point at layer 5, tasks at the last. Promoting the
// former would ruin a search index.
TEST(ChooseTest, TaskEvidenceGoesBeforeSelfRetrievalBeforeSpectra) {
  const Curve entropy = CurveOf("prompt_entropy", {0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.7});
  const Curve halves = CurveOf("self_retrieval_mrr", {.32, .29, .27, .29, .28, .33, .57});
  const Curve retrieval = CurveOf("retrieval_ndcg_at_10", {.08, .06, .04, .04, .07, .09, .41});
  EXPECT_EQ(Chosen({entropy}, kPlain, "prompt_entropy").layer, 5);
  const Choice by_halves = Chosen({halves, entropy}, kPlain);
  EXPECT_EQ(by_halves.layer, 6);
  EXPECT_EQ(by_halves.evidence, Evidence::kSelfRetrieval);
  EXPECT_EQ(by_halves.confidence, Confidence::kMedium);
  const Choice by_task = Chosen({retrieval, halves, entropy}, kPlain);
  EXPECT_EQ(by_task.layer, 6);
  EXPECT_EQ(by_task.evidence, Evidence::kTask);
  EXPECT_EQ(by_task.confidence, Confidence::kHigh);
  EXPECT_EQ(by_task.metric->name, "retrieval_ndcg_at_10");
}

TEST(ChooseTest, OfTiesTheShallowestIsTaken) {
  const Choice choice = Chosen({CurveOf("pair_spearman", {.1, .2, .699, .5, .7, .6, .6985})}, kPlain);
  EXPECT_EQ(choice.layer, 2);
  EXPECT_THAT(choice.ties, ElementsAre(2, 4, 6));
  EXPECT_EQ(choice.confidence, Confidence::kMedium) << "ties that lie apart";
  EXPECT_THAT(choice.reason, HasSubstr("highest at layer 4"));
  EXPECT_THAT(choice.reason, HasSubstr("the shallowest, 2"));
}

TEST(ChooseTest, WhereMostLayersTieNothingWasTold) {
  EXPECT_EQ(Chosen({CurveOf("pair_spearman", {.1, .2, .3, .4, .5, .6, .7}, 1)}, kPlain).confidence, Confidence::kLow);
  EXPECT_EQ(Chosen({CurveOf("pair_spearman", {.1, .1, .1, .1, .1, .699, .7})}, kPlain).confidence, Confidence::kHigh);
}

TEST(ChooseTest, ATrainedLastLayerStaysUnlessItIsClearlyBeaten) {
  const Choice tie = Chosen({CurveOf("pair_spearman", {.1, .2, .3, .4, .5, .801, .8})}, kTrained);
  EXPECT_EQ(tie.layer, 6);
  EXPECT_THAT(tie.reason, HasSubstr("was trained with its pooled last layer, 6, which stays"));
  const Choice beaten = Chosen({CurveOf("pair_spearman", {.1, .2, .3, .4, .5, .9, .8})}, kTrained);
  EXPECT_EQ(beaten.layer, 5);
  EXPECT_THAT(beaten.reason, HasSubstr("clearly beats the last layer"));
  const Choice spectra = Chosen({CurveOf("prompt_entropy", {0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.7})}, kTrained);
  EXPECT_EQ(spectra.layer, 6);
  EXPECT_EQ(spectra.evidence, Evidence::kSpectral);
}

// Labels may be told best from a layer by which no text is found again.
TEST(ChooseTest, LabelsAloneDoNotBeatATrainedLastLayerAgainstSelfRetrieval) {
  const Curve labels = CurveOf("linear_probe_accuracy", {.80, .82, .84, .86, .88, .90, .87});
  const Curve against = CurveOf("self_retrieval_mrr", {.32, .29, .27, .29, .28, .33, .57});
  const Curve in_favour = CurveOf("self_retrieval_mrr", {.32, .29, .27, .29, .28, .571, .57});
  const Choice kept = Chosen({labels, against}, kTrained);
  EXPECT_EQ(kept.layer, 6);
  EXPECT_THAT(kept.notes, testing::Contains(HasSubstr("To classify these labels")));
  EXPECT_EQ(Chosen({labels, in_favour}, kTrained).layer, 5);
  EXPECT_EQ(Chosen({labels}, kTrained).layer, 5) << "nothing speaks against it";
  EXPECT_EQ(Chosen({labels, against}, kPlain).layer, 5) << "a model that was not trained so";
}

// Halves of a text share words, and layer 0 finds them by these.
TEST(ChooseTest, SelfRetrievalNeverTakesTheEmbeddings) {
  const std::vector<double> values = {.50, .41, .38, .30, .28, .33, .49};
  const Choice choice = Chosen({CurveOf("self_retrieval_mrr", values)}, kPlain);
  EXPECT_EQ(choice.layer, 6);
  EXPECT_EQ(choice.confidence, Confidence::kLow);
  EXPECT_EQ(Chosen({CurveOf("self_retrieval_masked_mrr", values)}, kPlain).layer, 0) << "these share none";
  const Choice tied = Chosen({CurveOf("self_retrieval_mrr", {.5, kNan, .3, .5, .5, .2, .1})}, kPlain);
  EXPECT_EQ(tied.layer, 3) << "the shallowest tie above them";
  EXPECT_THAT(tied.ties, ElementsAre(3, 4));
  EXPECT_EQ(Chosen({CurveOf("self_retrieval_mrr", {.5, kNan, .3, .2, .1, .1, .1})}, kPlain).layer, 2);
  EXPECT_EQ(Chosen({CurveOf("self_retrieval_mrr", values)}, kTrained).layer, 6);
}

TEST(ChooseTest, WithoutAnyMetricThatAutoKnowsTheStrongestEvidenceDecides) {
  const Curve rank = CurveOf("rankme", {1, 2, 3, 2, 1, 1, 1});
  EXPECT_EQ(Chosen({rank}, kPlain).layer, 2);
  EXPECT_EQ(Chosen({rank, CurveOf("pair_pearson", {.1, .2, .3, .4, .5, .4, .3})}, kPlain).layer, 4);
  EXPECT_EQ(Chosen({rank}, kTrained).layer, 6);
}

TEST(ChooseTest, OfPoolingsTheOneThatIsBestIsTaken) {
  const Choice choice = Chosen({CurveOf("pair_spearman", {.1, .2, .3, .4, .5, .6, .7}, 0.001, "cls"),
                                CurveOf("pair_spearman", {.1, .2, .3, .8, .5, .6, .7}, 0.001, "mean")},
                               kPlain);
  EXPECT_EQ(choice.pooling, "mean");
  EXPECT_EQ(choice.layer, 3);
}

std::vector<double> Valley(int layers, double recovered) {
  std::vector<double> values;
  for (int layer = 0; layer <= layers; ++layer) {
    const double depth = static_cast<double>(layer) / layers;
    values.push_back(depth < 0.5 ? 0.9 - depth : 0.4 + (depth - 0.5) * 2 * recovered * 0.5);
  }
  return values;
}

TEST(ChooseTest, ADeepModelThatCompressesInTheMiddleIsCutAtThreeQuarters) {
  constexpr ModelTraits kDeep = {.layers = 24, .max_layer = 24};
  const Choice choice = Chosen({CurveOf("prompt_entropy", Valley(24, 0.9))}, kDeep);
  EXPECT_EQ(choice.layer, 18);
  EXPECT_EQ(choice.evidence, Evidence::kSpectral);
  EXPECT_EQ(choice.confidence, Confidence::kLow);
  // No recovery, too few blocks, or layers that are not loaded: no valley.
  const Curve infonce = CurveOf("infonce", std::vector<double>(25, 7.5));
  EXPECT_EQ(Chosen({CurveOf("prompt_entropy", Valley(24, 0.2))}, kDeep).layer, 24);
  EXPECT_EQ(Chosen({CurveOf("prompt_entropy", Valley(24, 0.2)), infonce}, kDeep).layer, 0);
  EXPECT_EQ(Chosen({CurveOf("prompt_entropy", Valley(6, 0.9))}, kPlain).layer, 6);
  EXPECT_EQ(Chosen({CurveOf("prompt_entropy", Valley(24, 0.9))}, {.layers = 40, .max_layer = 24}).layer, 24);
}

TEST(ChooseTest, AWeightedRankAddsUpPlaces) {
  const Curve silhouette = CurveOf("silhouette_cosine", {.1, .4, .3, .2});
  const Curve curvature = CurveOf("curvature", {2.0, 1.9, 1.0, 1.5});
  constexpr ModelTraits kShallow = {.layers = 3, .max_layer = 3};
  const Choice even = Chosen({silhouette, curvature}, kShallow, "silhouette_cosine,curvature");
  EXPECT_EQ(even.layer, 2) << "places 2 + 1, where layer 1 has 1 + 3";
  EXPECT_EQ(even.evidence, Evidence::kSpectral) << "the weakest of them";
  EXPECT_EQ(Chosen({silhouette, curvature}, kShallow, "silhouette_cosine=5,curvature").layer, 1);
}

TEST(ChooseTest, AWeightedRankIsOfOnePooling) {
  constexpr ModelTraits kShallow = {.layers = 2, .max_layer = 2};
  const std::vector<Curve> curves = {
      CurveOf("knn_accuracy", {.1, .5, .3}, 0.001, "mean"), CurveOf("knn_accuracy", {.1, .2, .9}, 0.001, "cls"),
      CurveOf("silhouette_cosine", {.3, .2, .1}, 0.001, "mean"),
      CurveOf("silhouette_cosine", {.1, .2, .3}, 0.001, "cls"), CurveOf("curvature", {3, 2, 1})};
  const Choice choice = Chosen(curves, kShallow, "curvature,knn_accuracy,silhouette_cosine");
  EXPECT_EQ(choice.pooling, "cls");
  EXPECT_EQ(choice.layer, 2);
}

TEST(ChooseTest, NamesWhatWasNotMeasured) {
  const std::vector<Curve> curves = {CurveOf("curvature", {1, 2}), CurveOf("dime", {kNan, kNan})};
  for (const char* criterion : {"lidar", "dime", "curvature,lidar", "valley"}) {
    const absl::Status status = Choose(ParseCriterion(criterion).value(), curves, kPlain).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << criterion;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not measured")) << criterion;
  }
}

TEST(ChooseTest, ALayerWithoutAValueIsNeverChosen) {
  const Choice choice = Chosen({CurveOf("pair_spearman", {kNan, .2, .3})}, {.layers = 2, .max_layer = 2});
  EXPECT_EQ(choice.layer, 2);
  EXPECT_EQ(Chosen({CurveOf("pair_spearman", {kNan, .2, .3}), CurveOf("curvature", {1, 3, 2})},
                   {.layers = 2, .max_layer = 2}, "pair_spearman=0.001,curvature=1000")
                .layer,
            2);
}

}  // namespace
}  // namespace midlayer
