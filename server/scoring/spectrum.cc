#include "server/scoring/spectrum.h"

#include <ATen/ops/dot.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

// NaN and infinities anywhere show in the sum of squares.
bool SquaresAreFinite(const at::Tensor& x) { return std::isfinite(SumOfSquares(x)); }

}  // namespace

double SumOfSquares(const at::Tensor& x) {
  const at::Tensor flat = x.reshape({-1});
  return at::dot(flat, flat).item<double>();
}

absl::Status NotFinite() { return absl::FailedPreconditionError("values that are not finite, or too large"); }

absl::StatusOr<at::Tensor> ToMatrix(const at::Tensor& x, std::string_view name) {
  if (!x.defined() || x.dim() != 2 || x.size(0) < 1 || x.size(1) < 1 || !at::isFloatingType(x.scalar_type())) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToAbsl(name), ": expected a matrix of real numbers with at least one row and one column, got ",
                     x.defined() ? x.dim() : 0, " dimensions and ", x.defined() ? x.numel() : 0, " values"));
  }
  at::Tensor matrix = x.to(at::kCPU, at::kDouble).contiguous();
  if (!SquaresAreFinite(matrix)) return NotFinite();
  return matrix;
}

at::Tensor SmallerGram(const at::Tensor& x_ND) {
  return x_ND.size(0) <= x_ND.size(1) ? at::mm(x_ND, x_ND.t()) : at::mm(x_ND.t(), x_ND);
}

absl::Status CheckKernel(const at::Tensor& k_NN) {
  if (!k_NN.defined() || k_NN.dim() != 2 || k_NN.size(0) != k_NN.size(1) || k_NN.size(0) < 1 ||
      k_NN.scalar_type() != at::kDouble || !k_NN.is_cpu()) {
    return absl::InvalidArgumentError("matrix: expected a square one of float64 on the CPU");
  }
  return SquaresAreFinite(k_NN) ? absl::OkStatus() : NotFinite();
}

absl::StatusOr<std::vector<double>> SymmetricEigenvalues(const at::Tensor& k_NN) {
  MIDLAYER_RETURN_IF_ERROR(CheckKernel(k_NN));
  const at::Tensor values = at::linalg_eigvalsh(k_NN).contiguous();
  const double* first = values.const_data_ptr<double>();
  return std::vector<double>(first, first + values.numel());
}

std::vector<double> PositiveEigenvalues(absl::Span<const double> eigenvalues) {
  std::vector<double> positive;
  if (eigenvalues.empty()) return positive;
  const double largest = *std::max_element(eigenvalues.begin(), eigenvalues.end());
  const double relative = static_cast<double>(eigenvalues.size()) * std::numeric_limits<double>::epsilon();
  for (double value : eigenvalues) {
    if (value > std::fmax(0, largest * relative)) positive.push_back(value);
  }
  return positive;
}

}  // namespace midlayer
