#include "server/selection/choose.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

// The metrics that "auto" decides by, the strongest first.
constexpr std::string_view kDeciders[] = {"retrieval_ndcg_at_10", "pair_spearman", "linear_probe_accuracy",
                                          "silhouette_cosine",    "knn_accuracy",  "self_retrieval_masked_mrr",
                                          "self_retrieval_mrr"};
constexpr int kDeep = 8;  // blocks of a model that has a middle
constexpr double kValleyDepth = 0.75;
constexpr double kRecovery = 0.5;  // of the fall

// The curve of the pooling under which the metric is best; the first one where several are equal. Null where it was not
// measured.
const Curve* CurveOf(absl::Span<const Curve> curves, std::string_view metric) {
  const Curve* best = nullptr;
  for (const Curve& curve : curves) {
    if (curve.metric->name != metric || curve.best_layer < 0) continue;
    if (best == nullptr ||
        IsBetter(curve.layers[curve.best_layer].value, best->layers[best->best_layer].value, curve.direction)) {
      best = &curve;
    }
  }
  return best;
}

// The curve of a metric under one pooling; null where it was not measured.
const Curve* CurveUnder(absl::Span<const Curve> curves, std::string_view metric, const std::string& pooling) {
  for (const Curve& curve : curves) {
    if (curve.metric->name == metric && curve.pooling == pooling && curve.best_layer >= 0) return &curve;
  }
  return nullptr;
}

std::vector<int> TiesOf(const Curve& curve) {
  std::vector<int> ties;
  for (size_t layer = 0; layer < curve.layers.size(); ++layer) {
    if (curve.layers[layer].ties_with_best) ties.push_back(static_cast<int>(layer));
  }
  return ties;
}

bool Ties(const Curve& curve, int layer) { return curve.layers[layer].ties_with_best; }

bool IsSharedWordMetric(const Metric& metric) { return metric.group == MetricGroup::kSelfRetrieval; }

std::string Number(double value) { return absl::StrFormat("%.4g", value); }

// How sure a choice by `curve` is: few ties side by side are sure, many or scattered ones are not, and where most
// layers tie nothing was told.
Confidence ConfidenceOf(const Curve& curve, Evidence evidence) {
  const std::vector<int> ties = TiesOf(curve);
  if (evidence == Evidence::kSpectral || 2 * ties.size() > curve.layers.size()) return Confidence::kLow;
  const int few = std::max(2, static_cast<int>(curve.layers.size()) / 4);
  const bool side_by_side = ties.back() - ties.front() < few;
  if (evidence == Evidence::kTask) return side_by_side ? Confidence::kHigh : Confidence::kMedium;
  return side_by_side ? Confidence::kMedium : Confidence::kLow;
}

Choice ChoiceAt(const Curve& curve, int layer) {
  return Choice{.layer = layer,
                .pooling = curve.pooling,
                .metric = curve.metric,
                .value = curve.layers[layer].value,
                .evidence = curve.metric->evidence(),
                .confidence = ConfidenceOf(curve, curve.metric->evidence()),
                .ties = TiesOf(curve)};
}

std::string BestInWords(const Curve& curve) {
  return absl::StrCat(ToAbsl(curve.metric->name), " is ", curve.direction == Direction::kMax ? "highest" : "lowest",
                      " at layer ", curve.best_layer, " (", Number(curve.layers[curve.best_layer].value), ")");
}

std::string TiesInWords(const std::vector<int>& ties) {
  return ties.size() == 1 ? "no other layer is within 2 standard errors"
                          : absl::StrCat("layers ", absl::StrJoin(ties, ", "), " are within 2 standard errors");
}

// By one metric: the shallowest layer that ties with the best.
Choice ByMetric(const Curve& curve) {
  const std::vector<int> ties = TiesOf(curve);
  Choice choice = ChoiceAt(curve, ties.front());
  choice.reason = absl::StrCat(BestInWords(curve), "; ", TiesInWords(ties));
  if (ties.size() > 1)
    absl::StrAppend(&choice.reason, ", of which the shallowest, ", ties.front(), ", is the cheapest");
  return choice;
}

// The shallowest tie that may be taken on self-retrieval, above the embeddings; where they alone are best, the best of
// the others.
Choice BySelfRetrieval(const Curve& curve) {
  std::vector<int> ties = TiesOf(curve);
  if (!IsSharedWordMetric(*curve.metric) || ties.front() != 0) return ByMetric(curve);
  ties.erase(ties.begin());
  if (ties.empty()) {
    std::vector<double> values = curve.Values();
    values[0] = std::numeric_limits<double>::quiet_NaN();
    const int best = BestIndex(values, curve.direction);
    if (best < 0) return ByMetric(curve);
    ties.push_back(best);
  }
  Choice choice = ChoiceAt(curve, ties.front());
  choice.reason = absl::StrCat(
      BestInWords(curve), "; layer 0 is not taken on it, because there the halves of a text are ",
      "found by the words that they share; layer ", choice.layer, " (", Number(choice.value), ") is taken instead");
  choice.confidence = Confidence::kLow;
  choice.ties = std::move(ties);
  return choice;
}

// What speaks for the last layer of a model that was trained on it.
Choice KeepLast(const Curve& curve, int last, const std::string& why) {
  Choice choice = ChoiceAt(curve, last);
  choice.reason = absl::StrCat("the model was trained with its pooled last layer, ", last, ", which stays: ", why);
  return choice;
}

Choice ByEvidence(const Curve& curve, absl::Span<const Curve> curves, const ModelTraits& model) {
  const bool self = curve.metric->evidence() == Evidence::kSelfRetrieval;
  const Choice free = self ? BySelfRetrieval(curve) : ByMetric(curve);
  const int last = model.layers;
  if (!model.pooled_last_layer_was_trained || model.max_layer < last || free.layer == last) return free;
  if (curve.best_layer == last)
    return KeepLast(curve, last, absl::StrCat(BestInWords(curve), ", and ", TiesInWords(free.ties)));
  if (Ties(curve, last)) {
    return KeepLast(curve, last,
                    absl::StrCat(BestInWords(curve), ", and layer ", last, " (", Number(curve.layers[last].value),
                                 ") is within 2 standard errors"));
  }
  const Curve* halves = CurveUnder(curves, "self_retrieval_mrr", curve.pooling);
  const bool labels = curve.metric->group == MetricGroup::kLabels;
  if (labels && halves != nullptr && Ties(*halves, last) && !Ties(*halves, free.layer)) {
    Choice choice =
        KeepLast(curve, last,
                 absl::StrCat("labels speak for layer ", free.layer, " (", BestInWords(curve),
                              "), but self-retrieval clearly against it (", Number(halves->layers[free.layer].value),
                              " to ", Number(halves->layers[last].value), ")"));
    choice.confidence = Confidence::kMedium;
    choice.notes.push_back(absl::StrCat("To classify these labels, and for nothing else, layer ", free.layer,
                                        " is better: choose it with the criterion ", ToAbsl(curve.metric->name), "."));
    return choice;
  }
  Choice choice = free;
  absl::StrAppend(&choice.reason, "; it clearly beats the last layer, ", last, " (", Number(curve.layers[last].value),
                  "), though the model was trained with that one");
  return choice;
}

// Whether the curve falls to an inner minimum and recovers.
bool HasValley(const Curve& entropy) {
  const std::vector<double> values = entropy.Values();
  if (std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); })) return false;
  const auto lowest = std::min_element(values.begin(), values.end());
  if (lowest == values.begin() || lowest + 1 == values.end()) return false;
  const double fall = *std::max_element(values.begin(), lowest) - *lowest;
  return fall > 0 && values.back() - *lowest >= kRecovery * fall;
}

absl::StatusOr<Choice> ByValley(absl::Span<const Curve> curves, const ModelTraits& model) {
  const Curve* entropy = CurveOf(curves, "prompt_entropy");
  if (entropy == nullptr) {
    return absl::FailedPreconditionError("options.criterion: valley needs prompt_entropy, which was not measured");
  }
  const bool whole = model.max_layer == model.layers;
  if (whole && model.layers >= kDeep && HasValley(*entropy)) {
    Choice choice = ChoiceAt(*entropy, static_cast<int>(std::lround(kValleyDepth * model.layers)));
    choice.ties = {choice.layer};
    choice.reason =
        absl::StrCat("prompt_entropy is lowest at layer ", entropy->best_layer,
                     " and recovers behind it; such models were best at about three quarters of their depth");
    return choice;
  }
  if (const Curve* infonce = CurveOf(curves, "infonce"); infonce != nullptr) {
    Choice choice = ByMetric(*infonce);
    choice.reason = absl::StrCat("prompt_entropy shows no valley; ", choice.reason);
    return choice;
  }
  Choice choice = ChoiceAt(*entropy, model.max_layer);
  choice.ties = {choice.layer};
  choice.reason = "prompt_entropy shows no valley, and no view was measured: the deepest layer stays";
  return choice;
}

// The curve of the strongest evidence, the first of several; null where nothing is defined.
const Curve* Strongest(absl::Span<const Curve> curves) {
  const Curve* strongest = nullptr;
  for (const Curve& curve : curves) {
    const bool stronger = strongest == nullptr || curve.metric->evidence() > strongest->metric->evidence();
    if (curve.best_layer >= 0 && stronger) strongest = &curve;
  }
  return strongest;
}

absl::StatusOr<Choice> Auto(absl::Span<const Curve> curves, const ModelTraits& model) {
  const Metric* decider = AutoDecider([&](std::string_view name) { return CurveOf(curves, name) != nullptr; });
  if (decider != nullptr) return ByEvidence(*CurveOf(curves, decider->name), curves, model);
  const Curve* strongest = Strongest(curves);
  if (strongest == nullptr)
    return absl::FailedPreconditionError("options.criterion: no metric is defined for any layer");
  if (strongest->metric->evidence() != Evidence::kSpectral) return ByEvidence(*strongest, curves, model);
  if (model.pooled_last_layer_was_trained && model.max_layer == model.layers) {
    Choice choice = KeepLast(*strongest, model.layers, "spectra alone are no evidence against it");
    choice.ties = {choice.layer};
    return choice;
  }
  return CurveOf(curves, "prompt_entropy") != nullptr ? ByValley(curves, model) : ByMetric(*strongest);
}

absl::Status NotMeasured(const Metric& metric) {
  return absl::FailedPreconditionError(
      absl::StrCat("options.criterion: ", ToAbsl(metric.name), " was not measured, or is defined for no layer"));
}

// The curves of a weighted rank under one pooling (metrics of tokens count for all), and the sums of ranks by layer.
struct RankSums {
  std::vector<const Curve*> curves;
  std::vector<double> sums;
};

absl::StatusOr<RankSums> SumRanks(const Criterion& criterion, absl::Span<const Curve> curves,
                                  const std::string& pooling) {
  RankSums ranks;
  for (const Criterion::Term& term : criterion.terms) {
    const bool of_tokens = term.metric->group == MetricGroup::kTokens;
    const Curve* curve = CurveUnder(curves, term.metric->name, of_tokens ? "" : pooling);
    if (curve == nullptr) return NotMeasured(*term.metric);
    ranks.curves.push_back(curve);
    ranks.sums.resize(curve->layers.size());
    for (size_t layer = 0; layer < ranks.sums.size(); ++layer) {
      const int rank = curve->layers[layer].rank;
      ranks.sums[layer] += rank == 0 ? std::numeric_limits<double>::infinity() : term.weight * rank;
    }
  }
  return ranks;
}

// The poolings of the curves, in their order; the empty one where all are of tokens.
std::vector<std::string> PoolingsOf(absl::Span<const Curve> curves) {
  std::vector<std::string> poolings;
  for (const Curve& curve : curves) {
    const bool is_new = std::find(poolings.begin(), poolings.end(), curve.pooling) == poolings.end();
    if (!curve.pooling.empty() && is_new) poolings.push_back(curve.pooling);
  }
  if (poolings.empty()) poolings.emplace_back();
  return poolings;
}

// The layer and pooling with the lowest weighted mean of ranks; the first where several have it.
absl::StatusOr<Choice> ByRanks(const Criterion& criterion, absl::Span<const Curve> curves) {
  RankSums best;
  std::string pooling;
  int layer = -1;
  for (const std::string& each : PoolingsOf(curves)) {
    MIDLAYER_ASSIGN_OR_RETURN(RankSums ranks, SumRanks(criterion, curves, each));
    const int lowest = static_cast<int>(std::min_element(ranks.sums.begin(), ranks.sums.end()) - ranks.sums.begin());
    if (layer >= 0 && ranks.sums[lowest] >= best.sums[layer]) continue;
    best = std::move(ranks);
    pooling = each;
    layer = lowest;
  }
  if (std::isinf(best.sums[layer]))
    return absl::FailedPreconditionError("options.criterion: no layer has a value of every metric");
  double weights = 0;
  Evidence weakest = Evidence::kTask;
  for (const Criterion::Term& term : criterion.terms) {
    weights += term.weight;
    weakest = std::min(weakest, term.metric->evidence());
  }
  Choice choice = ChoiceAt(*best.curves[0], layer);
  choice.pooling = pooling;
  choice.evidence = weakest;
  choice.confidence = weakest == Evidence::kSpectral ? Confidence::kLow : Confidence::kMedium;
  choice.ties.clear();
  for (size_t other = 0; other < best.sums.size(); ++other) {
    if (best.sums[other] == best.sums[layer]) choice.ties.push_back(static_cast<int>(other));
  }
  choice.reason = absl::StrCat("the weighted mean of ranks of ", criterion.text, " is lowest at layer ", layer, " (",
                               Number(best.sums[layer] / weights), ")");
  return choice;
}

}  // namespace

const Metric* AutoDecider(absl::FunctionRef<bool(std::string_view)> has) {
  for (const std::string_view decider : kDeciders) {
    if (has(decider)) return FindMetric(decider);
  }
  return nullptr;
}

absl::StatusOr<Choice> Choose(const Criterion& criterion, absl::Span<const Curve> curves, const ModelTraits& model) {
  if (criterion.text == "auto") return Auto(curves, model);
  if (criterion.text == "valley") return ByValley(curves, model);
  if (criterion.terms.size() > 1) return ByRanks(criterion, curves);
  const Curve* curve = CurveOf(curves, criterion.terms[0].metric->name);
  if (curve == nullptr) return NotMeasured(*criterion.terms[0].metric);
  Choice choice = ByMetric(*curve);
  if (model.pooled_last_layer_was_trained && choice.evidence == Evidence::kSpectral && choice.layer != model.layers) {
    choice.notes.push_back(
        "The model was trained with its pooled last layer; spectra alone are no evidence against that layer.");
  }
  return choice;
}

}  // namespace midlayer
