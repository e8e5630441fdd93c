// Standard errors of metrics of a whole set, which have no values of single texts to take them from.
#ifndef MIDLAYER_SERVER_SCORING_JACKKNIFE_H_
#define MIDLAYER_SERVER_SCORING_JACKKNIFE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/cancelled.h"

namespace midlayer {

// Metrics of a set without one of its groups, always as many; each with its own reason where it is not defined.
using MetricsWithout = std::function<std::vector<absl::StatusOr<double>>(int64_t group)>;

// Delete-a-group jackknife (Shao, Tu 1995, "The jackknife and bootstrap"): sqrt((G - 1)/G sum_g (v_g - mean v)^2), v_g
// being a metric without group g of G groups that are as large, +-1. One for each metric, with the first reason for
// which one is not defined without some group. What is in the groups must be independent, and in no order that repeats.
// INVALID_ARGUMENT unless groups >= 2. `metrics` is called from several of libtorch's threads at once; `cancelled` is
// asked before each call.
absl::StatusOr<std::vector<absl::StatusOr<double>>> JackknifeStandardErrors(int64_t groups,
                                                                            const MetricsWithout& metrics,
                                                                            const Cancelled& cancelled = nullptr);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_JACKKNIFE_H_
