#include "server/scoring/jackknife.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/parallel.h"

namespace midlayer {
namespace {

// values[g][metric].
absl::StatusOr<double> StandardError(const std::vector<std::vector<absl::StatusOr<double>>>& values, size_t metric) {
  const auto count = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const auto& group : values) {
    MIDLAYER_RETURN_IF_ERROR(group[metric].status());
    mean += *group[metric] / count;
  }
  for (const auto& group : values) squares += (*group[metric] - mean) * (*group[metric] - mean);
  return std::sqrt((count - 1) / count * squares);
}

}  // namespace

absl::StatusOr<std::vector<absl::StatusOr<double>>> JackknifeStandardErrors(int64_t groups,
                                                                            const MetricsWithout& metrics,
                                                                            const Cancelled& cancelled) {
  if (groups < 2) return absl::InvalidArgumentError(absl::StrCat("groups: expected 2 or more, got ", groups));
  using Values = std::vector<absl::StatusOr<double>>;
  const auto without = [&](int64_t group) -> absl::StatusOr<Values> {
    MIDLAYER_RETURN_IF_ERROR(CheckCancelled(cancelled));
    return metrics(group);
  };
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<Values> values, ParallelMap<Values>(groups, without));
  std::vector<absl::StatusOr<double>> errors;
  for (size_t metric = 0; metric < values.front().size(); ++metric) errors.push_back(StandardError(values, metric));
  return errors;
}

}  // namespace midlayer
