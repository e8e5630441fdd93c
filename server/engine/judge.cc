#include "server/engine/judge.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/statistics/correlation.h"
#include "server/statistics/distance_correlation.h"

namespace midlayer {

namespace {

CurveCorrelation Correlate(const Curve& curve, const Curve& task) {
  const std::vector<double> x = curve.Values(), y = task.Values();
  const Correlation spearman = Spearman(x, y);
  return {.metric = curve.metric,
          .task = task.metric,
          .pooling = task.pooling,
          .spearman = spearman.value,
          .spearman_p = spearman.p_value,
          .kendall = KendallTauB(x, y).value,
          .distance_correlation = DistanceCorrelation({x}, {y}).correlation};
}

// Every unlabelled metric against every task of the same pooling.
std::vector<CurveCorrelation> Correlations(const std::vector<Curve>& curves) {
  std::vector<CurveCorrelation> correlations;
  for (const Curve& task : curves) {
    if (task.metric->evidence() != Evidence::kTask || task.best_layer < 0) continue;
    for (const Curve& curve : curves) {
      const bool same_vectors = curve.pooling.empty() || curve.pooling == task.pooling;
      if (curve.metric->evidence() == Evidence::kTask || curve.best_layer < 0 || !same_vectors) continue;
      correlations.push_back(Correlate(curve, task));
    }
  }
  return correlations;
}

bool Measured(const std::vector<Curve>& curves, MetricGroup group) {
  return std::any_of(curves.begin(), curves.end(), [group](const Curve& c) { return c.metric->group == group; });
}

void Remark(const ModelTraits& model, ScoreResult& result) {
  std::vector<std::string>& notes = result.notes;
  notes.insert(notes.begin(), result.choice.notes.begin(), result.choice.notes.end());
  if (result.choice.evidence == Evidence::kSpectral) {
    notes.push_back(
        "Only spectra speak for this layer: they say how states are spread, not what they are good for. "
        "Score labels, pairs or queries before you rely on it.");
  }
  if (Measured(result.curves, MetricGroup::kSelfRetrieval) &&
      !Measured(result.curves, MetricGroup::kMaskedSelfRetrieval)) {
    notes.push_back(
        "Self-retrieval favours layer 0, where halves of a text are found by the words that they share; "
        "the metrics masked_self_retrieval leave such words out.");
  }
  if (result.choice.ties.size() > 1) {
    notes.push_back(absl::StrCat("These examples cannot tell layers ", absl::StrJoin(result.choice.ties, ", "),
                                 " apart; more of them may."));
  }
  if (model.max_layer < model.layers) {
    notes.push_back(absl::StrCat("Only layers 0 to ", model.max_layer, " of ", model.layers, " are loaded."));
  }
}

}  // namespace

absl::Status JudgeResult(const ScoreTask& task, const ModelTraits& model, ScoreResult& result) {
  for (Curve& curve : result.curves) {
    curve.direction = DirectionOf(*curve.metric, task.criterion);
    Judge(curve);
  }
  if (std::none_of(result.curves.begin(), result.curves.end(), [](const Curve& c) { return c.best_layer >= 0; })) {
    return absl::FailedPreconditionError(absl::StrCat(
        "examples: no metric is defined on them: ", result.notes.empty() ? "all were skipped" : result.notes.front()));
  }
  MIDLAYER_ASSIGN_OR_RETURN(result.choice, Choose(task.criterion, result.curves, model));
  if (result.choice.pooling.empty()) result.choice.pooling = std::string(PoolingName(task.poolings.front()));
  result.correlations = Correlations(result.curves);
  Remark(model, result);
  if (!task.example_values) {
    for (Curve& curve : result.curves) {
      curve.example_indices.clear();
      for (LayerScore& layer : curve.layers) layer.examples.clear();
    }
  }
  return absl::OkStatus();
}

}  // namespace midlayer
