// Standard errors. Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_BOOTSTRAP_H_
#define MIDLAYER_SERVER_STATISTICS_BOOTSTRAP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"

namespace midlayer {

struct Estimate {
  double value;
  double standard_error;
};

// The mean, with the sample's standard deviation over sqrt(n) as its standard error: NaN for fewer than 2 values. Both
// NaN for none.
Estimate MeanWithStandardError(absl::Span<const double> values);

struct BootstrapOptions {
  int resamples = 200;  // enough for a standard error (Efron and Tibshirani 1993, chapter 6)
  uint64_t seed = 0;
  Cancelled cancelled;  // asked before each resample: those that are left are not made
};

// `statistic` of each resample: n indices drawn from 0…n-1 with replacement (Efron 1979). The indices depend on n, the
// seed and the number of the resample alone: with one seed, resample r is the same for every layer (and on every
// platform), so that the replicates of two layers are paired. `statistic` may give NaN. None if n = 0.
std::vector<double> BootstrapReplicates(size_t n, absl::FunctionRef<double(absl::Span<const size_t>)> statistic,
                                        const BootstrapOptions& options = {});

// Of the statistic that has these replicates: their standard deviation. Those that are NaN are left out (a resample may
// miss what the statistic takes, for example a class); NaN if fewer than 2 are left.
double BootstrapStandardError(std::vector<double> replicates);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_BOOTSTRAP_H_
