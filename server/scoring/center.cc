#include "server/scoring/center.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/max.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/sub.h>

#include "server/base/status.h"
#include "server/scoring/spectrum.h"

namespace midlayer {

at::Tensor CenteredRows::Unit() const { return rows_KD / norms_K.unsqueeze(1); }

at::Tensor CenteredRows::Pooled() const {
  return at::matmul(at::reciprocal(norms_K), rows_KD) / static_cast<double>(size());
}

absl::StatusOr<CenteredRows> Center(const at::Tensor& x_ND) {
  constexpr double kRounding = 1e-12;
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_ND, "vectors"));
  const at::Tensor mean_D = at::mean(x, 0);
  CenteredRows centered{.rows_KD = at::sub(x, mean_D)};
  centered.norms_K = at::linalg_vector_norm(centered.rows_KD, 2, 1);
  const at::Tensor scale = at::linalg_vector_norm(mean_D) + at::max(centered.norms_K);  // of what was rounded
  const at::Tensor kept = at::nonzero(centered.norms_K > kRounding * scale).squeeze(1);
  centered.dropped = x.size(0) - kept.size(0);
  if (kept.size(0) == 0) return absl::FailedPreconditionError("vectors that are all the same");
  if (centered.dropped > 0) {
    centered.rows_KD = at::index_select(centered.rows_KD, 0, kept);
    centered.norms_K = at::index_select(centered.norms_K, 0, kept);
  }
  return centered;
}

absl::StatusOr<at::Tensor> CenterNormalize(const at::Tensor& x_TD) {
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x_TD));
  return centered.Unit();
}

absl::StatusOr<at::Tensor> PooledCentered(const at::Tensor& x_TD) {
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x_TD));
  return centered.Pooled();
}

}  // namespace midlayer
