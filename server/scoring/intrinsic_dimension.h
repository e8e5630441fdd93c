// The dimension of the set that points lie on.
#ifndef MIDLAYER_SERVER_SCORING_INTRINSIC_DIMENSION_H_
#define MIDLAYER_SERVER_SCORING_INTRINSIC_DIMENSION_H_

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"

namespace midlayer {

// TwoNN (Facco, d'Errico, Rodriguez, Laio 2017, "Estimating the intrinsic dimension of datasets by a minimal
// neighborhood information"): of the ratios mu = r2 / r1 of each point's distances to its two nearest, sorted, the
// first 90 % are fitted by -log(1 - i/N) = d log(mu_i) through the origin. Of equal points one is kept.
// FAILED_PRECONDITION for fewer than 3 distinct points, or where all are equally far from each other. 20 points or more
// make it meaningful.
absl::StatusOr<double> IntrinsicDimension(const at::Tensor& x_TD);

// The same where the Gram matrix of the centred points (any T x T of inner products about one origin) is at hand.
// Both float64 and contiguous.
absl::StatusOr<double> IntrinsicDimension(const at::Tensor& x_TD, const at::Tensor& gram_TT);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_INTRINSIC_DIMENSION_H_
