#include "server/scoring/jackknife.h"

#include <ATen/Parallel.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

at::Tensor WithoutGroup(const at::Tensor& x_ND, int64_t group, int64_t groups) {
  std::vector<int64_t> kept;
  for (int64_t row = 0; row < x_ND.size(0); ++row) {
    if (row % groups != group) kept.push_back(row);
  }
  return at::index_select(x_ND, 0, at::tensor(kept).to(x_ND.device()));
}

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

absl::StatusOr<std::vector<absl::StatusOr<double>>> JackknifeStandardErrors(const at::Tensor& x_ND,
                                                                            const SetMetrics& metrics, int64_t groups) {
  if (!x_ND.defined() || x_ND.dim() != 2) return absl::InvalidArgumentError("vectors: expected a matrix");
  if (groups < 2 || x_ND.size(0) < groups) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups: expected 2 to ", x_ND.size(0), ", as many as there are vectors, got ", groups));
  }
  // Side by side: the decompositions inside are too small to be worth several threads each.
  std::vector<std::vector<absl::StatusOr<double>>> values(static_cast<size_t>(groups));
  at::parallel_for(0, groups, 1, [&](int64_t first, int64_t end) {
    for (int64_t group = first; group < end; ++group) {
      values[static_cast<size_t>(group)] = metrics(WithoutGroup(x_ND, group, groups));
    }
  });
  std::vector<absl::StatusOr<double>> errors;
  for (size_t metric = 0; metric < values.front().size(); ++metric) errors.push_back(StandardError(values, metric));
  return errors;
}

}  // namespace midlayer
