#include "server/scoring/lidar.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/entropy.h"
#include "server/scoring/spectrum.h"

namespace midlayer {

absl::Status LidarAccumulator::Add(const at::Tensor& views_AD) {
  constexpr int64_t kRowsAtOnce = 256;
  if (!std::isfinite(delta_) || delta_ <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("delta: expected a finite number above 0, got ", delta_));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor views, ToMatrix(views_AD, "views"));
  if (texts() > 0 && (views.size(0) != views_ || views.size(1) != dimensions_)) {
    return absl::InvalidArgumentError(absl::StrCat("views: expected ", views_, " of ", dimensions_,
                                                   " dimensions, as of the first text, got ", views.size(0), " of ",
                                                   views.size(1)));
  }
  views_ = views.size(0);
  dimensions_ = views.size(1);
  means_.push_back(at::mean(views, 0));
  pending_.push_back(at::sub(views, means_.back()));
  pending_rows_ += views_;
  if (pending_rows_ >= kRowsAtOnce) {
    const at::Tensor scatter_DD = PendingScatter();
    scatter_DD_ = scatter_DD_.defined() ? scatter_DD_.add_(scatter_DD) : scatter_DD;
    pending_.clear();
    pending_rows_ = 0;
  }
  return absl::OkStatus();
}

at::Tensor LidarAccumulator::PendingScatter() const {
  if (pending_.empty()) return {};
  const at::Tensor residuals = at::cat(pending_);
  return at::mm(residuals.t(), residuals);
}

// With the Cholesky factor L of Sw and C = [c_i - m] / sqrt(N) (D x N), M has the eigenvalues of W W^T, W = L^-1 C.
absl::StatusOr<std::vector<double>> LidarAccumulator::Eigenvalues() const {
  if (texts() < 2) return absl::FailedPreconditionError("fewer than 2 texts");
  const auto n = static_cast<double>(texts());
  at::Tensor within_DD = at::eye(dimensions_, means_.front().options()) * delta_;
  for (const at::Tensor& scatter_DD : {scatter_DD_, PendingScatter()}) {
    if (scatter_DD.defined()) within_DD.add_(scatter_DD, 1 / (n * static_cast<double>(views_)));
  }
  const auto [lower_DD, info] = at::linalg_cholesky_ex(within_DD);
  if (info.item<int>() != 0) return NotFinite();  // delta alone makes any finite scatter positive definite
  const at::Tensor means_ND = at::stack(means_);
  const at::Tensor c_DN = at::sub(means_ND, at::mean(means_ND, 0)).t() / std::sqrt(n);
  return SymmetricEigenvalues(SmallerGram(at::linalg_solve_triangular(lower_DD, c_DN, /*upper=*/false)));
}

absl::StatusOr<double> LidarAccumulator::Entropy(double alpha, Mode mode) const {
  MIDLAYER_RETURN_IF_ERROR(CheckAlpha(alpha));
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<double> eigenvalues, Eigenvalues());
  if (mode == Mode::kDefinition || alpha != 2) return RenyiEntropy(eigenvalues, alpha);
  double squares = 0;
  for (double value : eigenvalues) squares += value * value;
  if (!(squares > 0)) return absl::FailedPreconditionError("matrix without a positive eigenvalue");
  return 2 * std::log(static_cast<double>(dimensions_)) - std::log(squares);
}

}  // namespace midlayer
