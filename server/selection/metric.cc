#include "server/selection/metric.h"

#include <algorithm>

namespace midlayer {

namespace {

constexpr std::optional<Direction> kUnknown, kMin = Direction::kMin, kMax = Direction::kMax;

// Observed directions: the layer curves of Pythia and Mamba published with Skean et al., "Layer by Layer" (ICML 2025),
// against their mean score on 32 tasks of MTEB; docs/metrics.md tells more.
constexpr Metric kMetrics[] = {
    {"retrieval_ndcg_at_10", MetricGroup::kRetrieval, kMax, kMax},
    {"retrieval_recall_at_10", MetricGroup::kRetrieval, kMax, kMax},
    {"retrieval_mrr", MetricGroup::kRetrieval, kMax, kMax},
    {"pair_spearman", MetricGroup::kScores, kMax, kMax},
    {"pair_pearson", MetricGroup::kScores, kMax, kMax},
    {"linear_probe_accuracy", MetricGroup::kLabels, kMax, kMax},
    {"knn_accuracy", MetricGroup::kLabels, kMax, kMax},
    {"silhouette_cosine", MetricGroup::kLabels, kMax, kMax},
    {"silhouette_euclidean", MetricGroup::kLabels, kMax, kMax},
    {"self_retrieval_mrr", MetricGroup::kSelfRetrieval, kMax, kMax},
    {"self_retrieval_recall_at_1", MetricGroup::kSelfRetrieval, kMax, kMax},
    {"self_retrieval_infonce", MetricGroup::kSelfRetrieval, kMin, kMin},
    {"self_retrieval_masked_mrr", MetricGroup::kMaskedSelfRetrieval, kMax, kMax},
    {"self_retrieval_masked_recall_at_1", MetricGroup::kMaskedSelfRetrieval, kMax, kMax},
    {"prompt_entropy", MetricGroup::kTokens, kUnknown, kMin},
    {"curvature", MetricGroup::kTokens, kMin, kUnknown},
    {"intrinsic_dimension", MetricGroup::kTokens, kUnknown, kUnknown},
    {"dataset_entropy", MetricGroup::kTexts, kUnknown, kMin},
    {"dataset_entropy_centered", MetricGroup::kTexts, kMax, kUnknown},
    {"effective_rank", MetricGroup::kTexts, kMax, kUnknown},
    {"effective_rank_sigma", MetricGroup::kTexts, kMax, kUnknown},
    {"rankme", MetricGroup::kTexts, kMax, kUnknown},
    {"nesum", MetricGroup::kTexts, kMax, kUnknown},
    {"participation_ratio", MetricGroup::kTexts, kMax, kUnknown},
    {"self_cluster", MetricGroup::kTexts, kMin, kUnknown},
    {"anisotropy", MetricGroup::kTexts, kMin, kUnknown},
    {"infonce", MetricGroup::kViews, kMin, kMax},
    {"infonce_cosine", MetricGroup::kViews, kMin, kUnknown},
    {"lidar", MetricGroup::kViews, kMax, kMin},
    {"dime", MetricGroup::kViews, kMax, kMin},
};

}  // namespace

std::string_view EvidenceName(Evidence evidence) {
  switch (evidence) {
    case Evidence::kSpectral:
      return "spectral";
    case Evidence::kSelfRetrieval:
      return "self_retrieval";
    case Evidence::kTask:
      return "task";
  }
  return "";
}

std::string_view ConfidenceName(Confidence confidence) {
  switch (confidence) {
    case Confidence::kLow:
      return "low";
    case Confidence::kMedium:
      return "medium";
    case Confidence::kHigh:
      return "high";
  }
  return "";
}

Evidence Metric::evidence() const {
  switch (group) {
    case MetricGroup::kLabels:
    case MetricGroup::kScores:
    case MetricGroup::kRetrieval:
      return Evidence::kTask;
    case MetricGroup::kSelfRetrieval:
    case MetricGroup::kMaskedSelfRetrieval:
      return Evidence::kSelfRetrieval;
    case MetricGroup::kTokens:
    case MetricGroup::kTexts:
    case MetricGroup::kViews:
      break;
  }
  return Evidence::kSpectral;
}

Direction Metric::direction() const { return observed.value_or(theory.value_or(Direction::kMin)); }

absl::Span<const Metric> AllMetrics() { return kMetrics; }

const Metric* FindMetric(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kMetrics), std::end(kMetrics), [name](const Metric& m) { return m.name == name; });
  return found == std::end(kMetrics) ? nullptr : found;
}

}  // namespace midlayer
