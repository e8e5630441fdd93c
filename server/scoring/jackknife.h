// Standard errors of metrics of a whole set, which have no values of single texts to take them from.
#ifndef MIDLAYER_SERVER_SCORING_JACKKNIFE_H_
#define MIDLAYER_SERVER_SCORING_JACKKNIFE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"

namespace midlayer {

// Metrics of N rows, always as many; each with its own reason where it is not defined.
using SetMetrics = std::function<std::vector<absl::StatusOr<double>>(const at::Tensor& x_ND)>;

// Delete-a-group jackknife (Shao, Tu 1995, "The jackknife and bootstrap"): sqrt((G - 1)/G sum_g (v_g - mean v)^2), v_g
// being a metric without group g; row i is in group i mod G. One for each metric, with the first reason for which one
// is not defined without some group. Rows must be independent and in no order that repeats every G rows.
// INVALID_ARGUMENT unless N >= groups >= 2. Costs `groups` times the metrics, on libtorch's
// threads: `metrics` is called from several at once.
absl::StatusOr<std::vector<absl::StatusOr<double>>> JackknifeStandardErrors(const at::Tensor& x_ND,
                                                                            const SetMetrics& metrics,
                                                                            int64_t groups = 10);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_JACKKNIFE_H_
