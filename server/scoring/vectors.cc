#include "server/scoring/vectors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/all.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"

namespace midlayer {

absl::Status CheckVectors(const at::Tensor& x_ND, std::string_view name) {
  const auto refuse = [name](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(ToAbsl(name), ": ", what...));
  };
  if (!x_ND.defined()) return refuse("expected a matrix, found none");
  if (x_ND.dim() != 2 || x_ND.size(0) == 0 || x_ND.size(1) == 0) {
    return refuse("expected a matrix that is not empty, found shape (", absl::StrJoin(x_ND.sizes(), ", "), ")");
  }
  if (x_ND.scalar_type() != at::kFloat && x_ND.scalar_type() != at::kDouble) {
    return refuse("expected float32 or float64, found ", c10::toString(x_ND.scalar_type()));
  }
  if (!at::all(at::isfinite(x_ND)).item<bool>()) return refuse("expected finite values, found NaN or infinity");
  return absl::OkStatus();
}

absl::Status CheckLabelled(const at::Tensor& x_ND, absl::Span<const int64_t> labels) {
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(x_ND, "vectors"));
  if (static_cast<int64_t>(labels.size()) == x_ND.size(0)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("labels: expected one for each of ", x_ND.size(0), " vectors, found ", labels.size()));
}

absl::Status CheckPairs(const at::Tensor& first_ND, const at::Tensor& second_ND) {
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(first_ND, "first"));
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(second_ND, "second"));
  if (first_ND.sizes() == second_ND.sizes()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("second: expected shape (", absl::StrJoin(first_ND.sizes(), ", "),
                                                 ") as the first has, found (", absl::StrJoin(second_ND.sizes(), ", "),
                                                 ")"));
}

at::Tensor UnitRows(const at::Tensor& x_ND) {
  const at::Tensor x = x_ND.to(at::kDouble);
  // By the largest value first: squares of very large or small values leave the range of float64.
  const at::Tensor largest = at::linalg_vector_norm(x, INFINITY, {1}, /*keepdim=*/true);
  const at::Tensor scaled = x / at::where(largest > 0, largest, 1);
  const at::Tensor length = at::linalg_vector_norm(scaled, 2, {1}, /*keepdim=*/true);
  return scaled / at::where(length > 0, length, 1);
}

ClassIds IndexLabels(absl::Span<const int64_t> labels) {
  ClassIds classes{.labels = {labels.begin(), labels.end()}};
  std::sort(classes.labels.begin(), classes.labels.end());
  classes.labels.erase(std::unique(classes.labels.begin(), classes.labels.end()), classes.labels.end());
  classes.members.resize(classes.labels.size());
  for (const int64_t label : labels) {
    const auto at = std::lower_bound(classes.labels.begin(), classes.labels.end(), label);
    classes.ids.push_back(at - classes.labels.begin());
    ++classes.members[static_cast<size_t>(classes.ids.back())];
  }
  return classes;
}

at::Tensor ToTensor(absl::Span<const int64_t> values, const at::Tensor& x) {
  // from_blob wants a pointer that may be written through; nothing writes.
  auto* data = const_cast<int64_t*>(values.data());
  return at::from_blob(data, {static_cast<int64_t>(values.size())}, at::kLong).clone().to(x.device());
}

std::vector<double> ToVector(const at::Tensor& values_N) {
  const at::Tensor host = values_N.to(at::kCPU, at::kDouble).contiguous();
  const double* data = host.const_data_ptr<double>();
  return {data, data + host.numel()};
}

at::Tensor ToHost(const at::Tensor& values) { return values.to(at::kCPU, at::kFloat).contiguous(); }

double Mean(absl::Span<const double> values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace midlayer
