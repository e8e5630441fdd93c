#include "server/scoring/set_grams.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/max.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/trace.h>

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/spectrum.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

constexpr double kRounding = 1e-12;        // of a length
constexpr double kSquareRounding = 1e-13;  // of a sum of squares, where another was taken away from it

double Trace(const at::Tensor& gram) { return at::trace(gram).item<double>(); }

at::Tensor RowsOf(const at::Tensor& rows_ND, int64_t group, int64_t groups) {
  return rows_ND.slice(0, group, rows_ND.size(0), groups);
}

// Each unit vector adds 1.
int64_t CountUnit(const at::Tensor& unit_gram) { return std::llround(Trace(unit_gram)); }

}  // namespace

GroupedVectors::Form GroupedVectors::Of(const at::Tensor& rows_ND) const {
  return {.rows_ND = rows_ND, .gram = of_vectors_ ? at::mm(rows_ND, rows_ND.t()) : at::mm(rows_ND.t(), rows_ND)};
}

absl::StatusOr<GroupedVectors> GroupedVectors::Of(const at::Tensor& x_ND, int64_t groups) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_ND, "vectors"));
  if (groups < 1 || x.size(0) < groups) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups: expected 1 to ", x.size(0), ", as many as there are vectors, got ", groups));
  }
  if (x.size(0) < 2) return absl::FailedPreconditionError("fewer than 2 vectors");
  GroupedVectors vectors;
  vectors.groups_ = groups;
  vectors.of_vectors_ = x.size(0) <= x.size(1);
  const at::Tensor mean_D = at::mean(x, 0), centered_ND = x - mean_D;
  const at::Tensor scale = at::linalg_vector_norm(mean_D) + at::max(at::linalg_vector_norm(centered_ND, 2, 1));
  vectors.least_square_ = std::pow(kRounding * scale.item<double>(), 2);
  vectors.as_is_ = vectors.Of(x);
  vectors.centered_ = vectors.Of(centered_ND);
  vectors.unit_ = vectors.Of(UnitRows(x));
  return vectors;
}

absl::StatusOr<at::Tensor> GroupedVectors::Spread(const at::Tensor& gram, int64_t vectors, double before) const {
  const double trace = Trace(gram);
  if (trace > static_cast<double>(vectors) * least_square_ && trace > kSquareRounding * before) return gram;
  return absl::FailedPreconditionError("vectors that are all the same");
}

SetGrams GroupedVectors::All() const {
  const int64_t n = as_is_.rows_ND.size(0);
  return {.vectors = n,
          .dimensions = as_is_.rows_ND.size(1),
          .as_is = as_is_.gram,
          .centered = Spread(centered_.gram, n, 0),
          .unit = unit_.gram,
          .unit_vectors = CountUnit(unit_.gram),
          .unit_sum_squares = SumOfSquares(at::sum(unit_.rows_ND, 0))};
}

at::Tensor GroupedVectors::Without(const Form& form, int64_t group, const at::Tensor& kept) const {
  if (of_vectors_) return at::index_select(at::index_select(form.gram, 0, kept), 1, kept);
  const at::Tensor left_out = RowsOf(form.rows_ND, group, groups_);
  return form.gram - at::mm(left_out.t(), left_out);
}

SetGrams GroupedVectors::Without(int64_t group) const {
  std::vector<int64_t> indices;
  for (int64_t row = 0; row < as_is_.rows_ND.size(0); ++row) {
    if (row % groups_ != group) indices.push_back(row);
  }
  const at::Tensor kept = at::tensor(indices);
  const auto n = static_cast<int64_t>(indices.size());
  // The mean of the whole set is gone already; what is left is that of the rows kept.
  at::Tensor gram = Without(centered_, group, kept);
  const double before = Trace(gram);
  if (of_vectors_) {
    const at::Tensor means = at::mean(gram, 1);
    gram = gram - means.unsqueeze(1) - means + at::mean(means);
  } else {
    const at::Tensor sum_D = at::sum(RowsOf(centered_.rows_ND, group, groups_), 0);  // of the rows kept, negated
    gram = gram - at::outer(sum_D, sum_D) / static_cast<double>(n);
  }
  const at::Tensor unit = Without(unit_, group, kept);
  return {.vectors = n,
          .dimensions = as_is_.rows_ND.size(1),
          .as_is = Without(as_is_, group, kept),
          .centered = Spread(gram, n, before),
          .unit = unit,
          .unit_vectors = CountUnit(unit),
          .unit_sum_squares = SumOfSquares(at::sum(at::index_select(unit_.rows_ND, 0, kept), 0))};
}

}  // namespace midlayer
