// The metrics that layers are scored by: names, kinds, directions.
#ifndef MIDLAYER_SERVER_SELECTION_METRIC_H_
#define MIDLAYER_SERVER_SELECTION_METRIC_H_

#include <optional>
#include <string_view>

#include "absl/types/span.h"
#include "server/statistics/ranks.h"

namespace midlayer {

// What speaks for a layer, the stronger the larger. kSpectral: geometry of the states alone. kSelfRetrieval: finding
// one half of a text by the other. kTask: labels, scored pairs, retrieval.
enum class Evidence { kSpectral = 1, kSelfRetrieval = 2, kTask = 3 };
enum class Confidence { kLow = 1, kMedium = 2, kHigh = 3 };
std::string_view EvidenceName(Evidence evidence);        // "spectral", "self_retrieval", "task"
std::string_view ConfidenceName(Confidence confidence);  // "low", "medium", "high"

// What a metric is computed from.
enum class MetricGroup { kTokens, kTexts, kViews, kSelfRetrieval, kMaskedSelfRetrieval, kLabels, kScores, kRetrieval };

struct Metric {
  std::string_view name;
  MetricGroup group;
  // What theory says is better, and what went with better task scores in published results; often opposites.
  std::optional<Direction> theory;
  std::optional<Direction> observed;

  Evidence evidence() const;
  // The direction that ranks and choices use: observed where something is known, else theory, else the lower end.
  Direction direction() const;
};

// All of them, in the order of reports.
absl::Span<const Metric> AllMetrics();

// Null where there is none of that name.
const Metric* FindMetric(std::string_view name);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_METRIC_H_
