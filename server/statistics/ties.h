// Which layers are as good as the best one. Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_TIES_H_
#define MIDLAYER_SERVER_STATISTICS_TIES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/statistics/ranks.h"

namespace midlayer {

// One metric of L layers, over N examples where it is a mean over examples.
struct LayerMeasurements {
  Direction direction = Direction::kMax;
  absl::Span<const double> values_L;
  // Empty: not known. NaN: not known for this layer.
  absl::Span<const double> standard_errors_L = {};
  // The value of each example, layer after layer, of which values_L are the means. Empty: not known.
  absl::Span<const double> examples_LN = {};
  // Of a metric that is no such mean: its value for each bootstrap resample, layer after layer, the same resamples for
  // all layers. Empty: not known.
  absl::Span<const double> replicates_LR = {};
};

struct LayerTies {
  int best = -1;             // the shallowest of the best value; -1 if every value is NaN
  int shallowest = -1;       // the shallowest layer that ties with it; -1 likewise
  std::vector<bool> tied_L;  // the best layer ties with itself
};

// A layer ties with the best one if their values differ by at most 2 standard errors of the difference, or not at all.
//
// With values of examples that is the standard error of the mean paired difference: an example that is hard is hard at
// every layer, so the layers' errors are strongly correlated, and to add their variances would call far too many layers
// ties. With replicates it is the standard deviation of their paired differences. Examples and replicates that are NaN
// in one of the two layers are left out; with fewer than 2 left, and without any, it is sqrt(se_a^2 + se_b^2), as if
// the two were independent. Where that is not known either, only equal values tie.
//
// A layer whose value is NaN never ties. INVALID_ARGUMENT if the sizes do not fit each other.
absl::StatusOr<LayerTies> LayersTiedWithBest(const LayerMeasurements& measurements);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_TIES_H_
