// ScoreLayers through a real channel, on libtorch.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/statistics/correlation.h"
#include "tests/service/scoring_calls.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string LabelOf(int i) { return absl::StrCat("label: '", i % 3, "'"); }
std::string ScoredOf(int i) { return absl::StrCat("paired_text: 'the small model ", i % 7, "' score: ", i % 5); }

std::set<std::string> MetricsOf(const v1::ScoreReport& report) {
  std::set<std::string> names;
  for (const v1::MetricCurve& curve : report.curves()) names.insert(curve.metric());
  return names;
}

// Everything that a reader of a report counts on.
void ExpectWellFormed(const v1::ScoreReport& report, int layers) {
  EXPECT_GT(report.curves_size(), 0);
  for (const v1::MetricCurve& curve : report.curves()) {
    SCOPED_TRACE(curve.metric());
    ASSERT_EQ(curve.scores_size(), layers);
    EXPECT_NE(curve.evidence(), v1::EVIDENCE_UNSPECIFIED);
    for (int layer = 0; layer < layers; ++layer) {
      const v1::LayerScore& score = curve.scores(layer);
      EXPECT_EQ(score.layer(), layer);
      EXPECT_EQ(score.rank() == 0, std::isnan(score.value()));
      EXPECT_TRUE(score.rank() != 1 || score.ties_with_best());
      EXPECT_GE(score.standard_error(), 0);
    }
    EXPECT_EQ(curve.scores(curve.best_layer()).rank(), 1u);
  }
  EXPECT_THAT(report.selection().id(), testing::MatchesRegex("[0-9a-f]{64}"));
  EXPECT_THAT(report.selection().reason(), Not(IsEmpty()));
  EXPECT_THAT(report.ties(), Contains(report.selection().layer()));
  EXPECT_GT(report.cost().tokens(), 0u);
  EXPECT_GT(report.cost().peak_bytes(), 0u);
}

TEST(ScoreLayersTest, WithoutLabelsItMeasuresSpectraAndSelfRetrieval) {
  LiveServer live;
  const ScoreOutcome outcome = Score(live, Options(), Texts(60));
  ASSERT_THAT(outcome.status, IsOk());
  ExpectWellFormed(outcome.report, 4);
  EXPECT_EQ(outcome.report.examples(), 60u);
  EXPECT_EQ(outcome.report.selection().evidence(), v1::EVIDENCE_SELF_RETRIEVAL);
  EXPECT_EQ(outcome.report.selection().pooling(), v1::POOLING_MEAN);
  EXPECT_FALSE(outcome.report.selection().promoted()) << "scoring alone changes nothing";
  const std::set<std::string> metrics = MetricsOf(outcome.report);
  for (const char* name : {"prompt_entropy", "curvature", "dataset_entropy", "rankme", "self_retrieval_mrr"}) {
    EXPECT_TRUE(metrics.contains(name)) << name;
  }
  EXPECT_FALSE(metrics.contains("dime")) << "costly, only when asked for";
  EXPECT_EQ(live.Embed(MeanOf(-1, {"x"})).response.selection_id(), "");
}

TEST(ScoreLayersTest, EveryMetricIsMeasuredOnDataThatAllowsIt) {
  LiveServer live;
  const ScoreOutcome labelled = Score(live, Options("metrics: 'all' views: 3 permutations: 4"), Texts(40, LabelOf));
  ASSERT_THAT(labelled.status, IsOk());
  ExpectWellFormed(labelled.report, 4);
  for (const char* name : {"linear_probe_accuracy", "knn_accuracy", "silhouette_cosine", "silhouette_euclidean", "dime",
                           "lidar", "infonce", "infonce_cosine", "self_retrieval_masked_mrr"}) {
    EXPECT_TRUE(MetricsOf(labelled.report).contains(name)) << name;
  }
  const ScoreOutcome scored = Score(live, Options(), Texts(40, ScoredOf));
  ASSERT_THAT(scored.status, IsOk());
  EXPECT_EQ(scored.report.selection().metric(), "pair_spearman");
  EXPECT_EQ(scored.report.selection().evidence(), v1::EVIDENCE_TASK);
  EXPECT_THAT(scored.report.correlations(), Not(IsEmpty()));
}

TEST(ScoreLayersTest, QueriesFindTheirPassagesAmongAll) {
  LiveServer live;
  std::vector<v1::Example> examples;
  for (const v1::Example& text : Texts(30)) {
    examples.push_back(text);
    examples.back().set_id(absl::StrCat("p", examples.size() - 1));
    examples.back().set_passage(true);
  }
  // Each query is its passage word for word: at every layer nothing is nearer.
  for (int i = 0; i < 10; ++i) {
    examples.push_back(ExampleOf(absl::StrCat("text: '", examples[static_cast<size_t>(i)].text(), "'")));
    examples.back().add_relevant_ids(absl::StrCat("p", i));
  }
  const ScoreOutcome outcome = Score(live, Options("metrics: 'paired' sample_size: 5"), examples);
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.report.examples(), 40u) << "none is left out";
  for (const char* name : {"retrieval_ndcg_at_10", "retrieval_recall_at_10", "retrieval_mrr"}) {
    const v1::MetricCurve* curve = CurveOf(outcome.report, name);
    ASSERT_NE(curve, nullptr) << name;
    EXPECT_EQ(curve->examples(), 10u);
    for (const v1::LayerScore& score : curve->scores()) EXPECT_NEAR(score.value(), 1, 1e-6) << name;
  }
  EXPECT_EQ(outcome.report.selection().layer(), 0) << "all tie, and the shallowest is the cheapest";
}

// The vectors that are scored are those that Embed gives.
TEST(ScoreLayersTest, PairSimilarityIsThatOfTheServedVectors) {
  LiveServer live;
  const std::vector<v1::Example> examples = Texts(12, ScoredOf);
  const ScoreOutcome outcome = Score(live, Options("metrics: 'pair_pearson' poolings: POOLING_MAX"), examples);
  ASSERT_THAT(outcome.status, IsOk());
  for (int layer = 0; layer <= 3; ++layer) {
    std::vector<double> cosines, scores;
    for (const v1::Example& example : examples) {
      v1::EmbedRequest request = MeanOf(layer, {example.text(), example.paired_text()});
      request.set_pooling(v1::POOLING_MAX);
      request.set_normalize(true);
      const v1::EmbedResponse response = live.Embed(request).response;
      const std::vector<float> a = Values(response.embeddings(0).vectors(0)),
                               b = Values(response.embeddings(1).vectors(0));
      cosines.push_back(std::inner_product(a.begin(), a.end(), b.begin(), 0.0));
      scores.push_back(example.score());
    }
    EXPECT_NEAR(CurveOf(outcome.report, "pair_pearson")->scores(layer).value(), Pearson(cosines, scores).value, 1e-5);
  }
}

TEST(ScoreLayersTest, TheSameQuestionHasTheSameAnswerOnAnyServer) {
  LiveServer a, b({.max_layer = 3});
  const auto options = Options("metrics: 'all' views: 2 permutations: 3 seed: 7 example_values: true");
  const ScoreOutcome first = Score(a, options, Texts(20, LabelOf)), second = Score(b, options, Texts(20, LabelOf));
  ASSERT_THAT(first.status, IsOk());
  EXPECT_EQ(first.report.selection().id(), second.report.selection().id());
  for (int i = 0; i < first.report.curves_size(); ++i) {
    for (int layer = 0; layer < 4; ++layer) {
      EXPECT_NEAR(first.report.curves(i).scores(layer).value(), second.report.curves(i).scores(layer).value(), 1e-6)
          << first.report.curves(i).metric();
    }
  }
}

TEST(ScoreLayersTest, AStoredReportIsReturnedAtOnceUnlessRefreshed) {
  LiveServer live;
  const std::vector<v1::Example> examples = Texts(20);
  const ScoreOutcome first = Score(live, Options(), examples);
  ASSERT_THAT(first.status, IsOk());
  EXPECT_FALSE(first.report.cached());
  const double tokens = live.Metric("midlayer_score_stage_seconds_total", {{"stage", "forward"}});
  const ScoreOutcome again = Score(live, Options(), examples);
  EXPECT_TRUE(again.report.cached());
  EXPECT_EQ(again.report.selection().id(), first.report.selection().id());
  EXPECT_EQ(live.Metric("midlayer_score_stage_seconds_total", {{"stage", "forward"}}), tokens) << "not computed again";
  EXPECT_FALSE(Score(live, Options("refresh: true"), examples).report.cached());
  EXPECT_FALSE(Score(live, Options("seed: 1"), examples).report.cached());
  EXPECT_FALSE(Score(live, Options(), Texts(21)).report.cached());
  LiveServer other;
  ASSERT_THAT(Score(other, Options("store: false"), examples).status, IsOk());
  EXPECT_FALSE(Score(other, Options(), examples).report.cached()) << "was not to be kept";
}

TEST(ScoreLayersTest, ExampleValuesComeOnlyWhenAskedFor) {
  LiveServer live;
  const ScoreOutcome with = Score(live, Options("example_values: true"), Texts(15));
  const v1::MetricCurve* curve = CurveOf(with.report, "prompt_entropy");
  ASSERT_NE(curve, nullptr);
  EXPECT_EQ(curve->example_indices_size(), 15);
  ASSERT_EQ(curve->scores(1).example_values_size(), 15);
  double sum = 0;
  for (const float value : curve->scores(1).example_values()) sum += value;
  EXPECT_NEAR(sum / 15, curve->scores(1).value(), 1e-6);
  EXPECT_EQ(CurveOf(Score(live, Options(), Texts(15)).report, "prompt_entropy")->scores(1).example_values_size(), 0);
}

TEST(ScoreLayersTest, SkippedTextsAreCountedByReason) {
  LiveServer live;
  std::vector<v1::Example> examples = Texts(10);
  examples.push_back(ExampleOf("text: 'a'"));
  const ScoreOutcome outcome = Score(live, Options("without_special_tokens: true"), examples);
  ASSERT_THAT(outcome.status, IsOk());
  std::set<std::string> reasons;
  for (const v1::SkippedExamples& skipped : outcome.report.skipped()) {
    reasons.insert(skipped.reason());
    EXPECT_THAT(skipped.indices(), Contains(10)) << skipped.reason();
  }
  EXPECT_THAT(reasons, Contains("fewer than 3 tokens"));
  EXPECT_THAT(reasons, Contains("too short to be cut in halves"));
}

TEST(ScoreLayersTest, StopsEarlyWhereTheChoiceIsSettled) {
  LiveServer live;
  const ScoreOutcome outcome =
      Score(live, Options("metrics: 'prompt_entropy' criterion: 'prompt_entropy' stop_early: true"), Texts(400));
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_THAT(outcome.report.notes(), Contains(HasSubstr("Stopped after")));
  EXPECT_LT(CurveOf(outcome.report, "prompt_entropy")->examples(), 400u);
  const ScoreOutcome all = Score(live, Options("metrics: 'prompt_entropy' criterion: 'prompt_entropy'"), Texts(400));
  EXPECT_EQ(outcome.report.selection().layer(), all.report.selection().layer());
  EXPECT_THAT(Score(live, Options("stop_early: true criterion: 'rankme'"), Texts(20)).report.notes(),
              Contains(HasSubstr("stop_early has no effect")));
}

// Layer 0 finds a passage by the words that it shares with the query, in any order; deeper layers of a random model
// find it less often.
TEST(ScoreLayersTest, StopsEarlyWhereQueriesSettleTheChoice) {
  LiveServer live;
  constexpr int kQueries = 200;
  std::vector<v1::Example> examples = Texts(kQueries);
  for (int i = 0; i < kQueries; ++i) {
    v1::Example passage;
    std::vector<std::string> words = absl::StrSplit(examples[i].text(), ' ');
    std::reverse(words.begin(), words.end());
    passage.set_text(absl::StrJoin(words, " "));
    passage.set_id(absl::StrCat(i));
    passage.set_passage(true);
    examples[i].add_relevant_ids(absl::StrCat(i));
    examples.push_back(passage);
  }
  const char* options = "metrics: 'retrieval_ndcg_at_10' criterion: 'retrieval_ndcg_at_10'";
  const ScoreOutcome all = Score(live, Options(options), examples);
  const ScoreOutcome early = Score(live, Options(absl::StrCat(options, " stop_early: true")), examples);
  ASSERT_THAT(early.status, IsOk());
  EXPECT_THAT(early.report.notes(), Contains(HasSubstr("Stopped after")));
  const auto queries = CurveOf(early.report, "retrieval_ndcg_at_10")->examples();
  EXPECT_LT(queries, uint64_t{kQueries});
  EXPECT_EQ(early.report.examples(), queries + kQueries) << "all passages are there to be found";
  EXPECT_EQ(early.report.selection().layer(), all.report.selection().layer());
}

TEST(ScoreLayersTest, RefusesWhatCannotBeScored) {
  LiveServer live;
  const std::vector<std::tuple<std::string, std::vector<v1::Example>, StatusCode, std::string>> cases = {
      {"metrics: 'entropy'", Texts(5), StatusCode::INVALID_ARGUMENT, "metrics: expected all, labelled"},
      {"metrics: 'linear_probe_accuracy'", Texts(5), StatusCode::INVALID_ARGUMENT, "expected a label on every example"},
      {"metrics: 'paired'", Texts(5), StatusCode::INVALID_ARGUMENT, "metrics: paired: expected"},
      {"criterion: 'best'", Texts(5), StatusCode::INVALID_ARGUMENT, "criterion: expected auto"},
      {"criterion: 'knn_accuracy'", Texts(5), StatusCode::INVALID_ARGUMENT,
       "options.criterion: options.metrics: knn_accuracy"},
      {"alpha: -1", Texts(5), StatusCode::INVALID_ARGUMENT, "options.alpha: expected a finite number above 0"},
      {"views: 1", Texts(5), StatusCode::INVALID_ARGUMENT, "options.views: expected 2 to 64"},
      {"poolings: 99", Texts(5), StatusCode::INVALID_ARGUMENT, "options.poolings"},
      {"poolings: POOLING_TRAINED_LAST", Texts(5), StatusCode::INVALID_ARGUMENT, "options.poolings"},
      {"promote: true store: false", Texts(5), StatusCode::INVALID_ARGUMENT, "options.store: expected true"},
      {"dataset_name: 'x'", {}, StatusCode::NOT_FOUND, "expected a server with data sets (--datasets)"},
      {"dataset_name: '../x'", {}, StatusCode::INVALID_ARGUMENT, "options.dataset_name: expected letters"},
      {"dataset_name: 'x'", Texts(1), StatusCode::INVALID_ARGUMENT, "expected none beside options.dataset_name"},
      {"", {}, StatusCode::INVALID_ARGUMENT, "examples: expected 2 or more, found 0"},
      {"", Texts(1), StatusCode::INVALID_ARGUMENT, "examples: expected 2 or more, found 1"},
      {"metrics: 'curvature' without_special_tokens: true",
       {ExampleOf("text: 'a'"), ExampleOf("text: 'the'")},
       StatusCode::FAILED_PRECONDITION,
       "no metric is defined on them"},
      {"", Texts(6, [](int) { return std::string("label: 'one'"); }), StatusCode::INVALID_ARGUMENT,
       "2 classes or more"},
  };
  for (const auto& [options, examples, code, message] : cases) {
    EXPECT_THAT(Score(live, Options(options), examples).status, IsStatus(code, HasSubstr(message))) << options;
  }
  EXPECT_THAT(Score(live, Options(), Texts(5)).status, IsOk()) << "none of them harmed the server";
}

TEST(ScoreLayersTest, OptionsComeFirstAndOnce) {
  LiveServer live;
  const ScoreCall early(live);
  early.rpc->Write(Part(Texts(1)[0]));
  EXPECT_THAT(early.Finish().status, IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("options: expected first")));
  const ScoreCall twice(live);
  twice.rpc->Write(Part(Options()));
  twice.rpc->Write(Part(Options()));
  EXPECT_THAT(twice.Finish().status, IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("found twice")));
  const ScoreCall none(live);
  none.rpc->WritesDone();
  EXPECT_THAT(none.Finish().status, IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("options: expected first")));
}

TEST(ScoreLayersTest, ARunThatWouldTakeTooMuchMemoryIsRefused) {
  LiveServer live({.scorer = {.max_bytes = 130 << 20}});
  EXPECT_THAT(Score(live, Options(), Texts(10)).status, IsOk());
  LiveServer small({.scorer = {.max_bytes = 1 << 20}});
  EXPECT_THAT(Score(small, Options(), Texts(10)).status,
              IsStatus(StatusCode::RESOURCE_EXHAUSTED, AllOf(HasSubstr("MiB"), HasSubstr("--max-score-bytes"))));
}

TEST(ScoreLayersTest, ACancelledRunEndsAndLeavesNothingBehind) {
  LiveServer live({.score_limits = {.runs = 1}});
  ScoreCall call(live);
  call.Send(Options("metrics: 'all' permutations: 1000 views: 64"), Texts(300));
  EXPECT_TRUE(Eventually([&] { return live.Metric("midlayer_score_running") == 1; }));
  const ScoreCall second(live);
  second.Send(Options(), Texts(5));
  EXPECT_THAT(second.Finish().status, IsStatus(StatusCode::RESOURCE_EXHAUSTED, HasSubstr("at most 1 runs at once")));
  call.context->TryCancel();
  EXPECT_EQ(call.Finish().status.error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return live.Metric("midlayer_score_running") == 0; }));
  EXPECT_TRUE(Eventually([&] { return live.Ended("ScoreLayers", "CANCELLED") == 1; }));
  EXPECT_TRUE(Eventually([&] { return Score(live, Options(), Texts(5)).status.ok(); })) << "its place is free again";
}

TEST(ScoreLayersTest, EmbedIsAnsweredWhileARunIsUnderWay) {
  LiveServer live;
  ScoreCall call(live);
  call.Send(Options("metrics: 'all' permutations: 200 views: 32"), Texts(300));
  EXPECT_TRUE(Eventually([&] { return live.Metric("midlayer_score_running") == 1; }));
  for (int i = 0; i < 20; ++i) ASSERT_THAT(live.Embed(MeanOf(2, {"x"})).status, IsOk());
  EXPECT_EQ(live.Metric("midlayer_score_running"), 1) << "otherwise this shows nothing";
  call.context->TryCancel();
  call.Finish();
}

TEST(ScoreLayersTest, DataSetsOnTheServerAreScoredByName) {
  const TempDir temporary;
  const std::filesystem::path& directory = temporary.path();
  std::ofstream good(directory / "good.jsonl"), bad(directory / "bad.jsonl");
  for (const v1::Example& example : Texts(10))
    good << R"({"text": ")" << example.text() << R"(", "source": 1})" << "\n\n";
  bad << R"({"text": "a b c d"})" << "\n{\n";
  good.close();
  bad.close();
  LiveServer live({.score_limits = {.directory = directory.string()}});
  const ScoreOutcome outcome = Score(live, Options("dataset_name: 'good'"), {});
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.report.selection().id(), Score(live, Options(), Texts(10)).report.selection().id());
  EXPECT_THAT(Score(live, Options("dataset_name: 'bad'"), {}).status,
              IsStatus(StatusCode::INVALID_ARGUMENT, HasSubstr("bad.jsonl, line 2: expected an Example in JSON")));
  EXPECT_THAT(Score(live, Options("dataset_name: 'none'"), {}).status,
              IsStatus(StatusCode::NOT_FOUND, HasSubstr("none.jsonl")));
}

TEST(ScoreLayersTest, ReferenceModesAreOtherNumbers) {
  LiveServer live;
  const std::vector<v1::Example> examples = Texts(30);
  std::set<double> curvatures, entropies;
  for (const char* mode : {"METRIC_MODE_DEFINITION", "METRIC_MODE_REFERENCE_2024", "METRIC_MODE_REFERENCE_2025"}) {
    const ScoreOutcome outcome = Score(live, Options(absl::StrCat("mode: ", mode)), examples);
    ASSERT_THAT(outcome.status, IsOk());
    curvatures.insert(CurveOf(outcome.report, "curvature")->scores(2).value());
    entropies.insert(CurveOf(outcome.report, "prompt_entropy")->scores(2).value());
  }
  EXPECT_EQ(curvatures.size(), 3u);
  EXPECT_EQ(entropies.size(), 2u) << "the two reference modes clamp alike";
}

}  // namespace
}  // namespace midlayer
