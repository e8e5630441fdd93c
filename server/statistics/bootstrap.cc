#include "server/statistics/bootstrap.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "server/base/random.h"

namespace midlayer {

Estimate MeanWithStandardError(absl::Span<const double> values) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return {kNan, kNan};
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() < 2 ? kNan : std::sqrt(squares / (n - 1) / n)};
}

std::vector<double> BootstrapReplicates(size_t n, absl::FunctionRef<double(absl::Span<const size_t>)> statistic,
                                        const BootstrapOptions& options) {
  std::vector<double> replicates;
  if (n == 0) return replicates;
  std::vector<size_t> indices(n);
  for (int resample = 0; resample < options.resamples && CheckCancelled(options.cancelled).ok(); ++resample) {
    Random random(Random::SubSeed(options.seed, resample));
    for (size_t& index : indices) index = random.Index(n);
    replicates.push_back(statistic(indices));
  }
  return replicates;
}

double BootstrapStandardError(std::vector<double> replicates) {
  std::erase_if(replicates, [](double value) { return std::isnan(value); });
  // The standard error of a mean, less its division by sqrt(count).
  return MeanWithStandardError(replicates).standard_error * std::sqrt(static_cast<double>(replicates.size()));
}

}  // namespace midlayer
