// Vectors less their mean, the first step of most representation metrics.
#ifndef MIDLAYER_SERVER_SCORING_CENTER_H_
#define MIDLAYER_SERVER_SCORING_CENTER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace midlayer {

// N rows less their mean. Rows that are the mean itself, but for rounding (1e-12 of the longest row), have no direction
// and are dropped: K remain, at least one. float64.
struct CenteredRows {
  at::Tensor rows_KD;
  at::Tensor norms_K;  // their lengths, above 0
  int64_t dropped = 0;

  int64_t size() const { return rows_KD.size(0); }
  at::Tensor Unit() const;    // (K, D): the rows at length 1
  at::Tensor Pooled() const;  // (D): the mean of Unit()
};

// FAILED_PRECONDITION where all rows are the same, a single one included.
absl::StatusOr<CenteredRows> Center(const at::Tensor& x_ND);

// Center(x).Unit(): Z_t = (x_t - m) / |x_t - m|, what "Layer by Layer" (Skean et al. 2025) measures tokens by.
absl::StatusOr<at::Tensor> CenterNormalize(const at::Tensor& x_TD);

// Center(x).Pooled(): the vector that the same work makes of a text, (D). Near 0 unless one token outweighs the others;
// of 2 tokens it is 0 but for rounding.
absl::StatusOr<at::Tensor> PooledCentered(const at::Tensor& x_TD);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_CENTER_H_
