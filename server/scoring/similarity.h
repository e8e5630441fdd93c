// How alike the two vectors of a pair are. Thread-safe.
#ifndef MIDLAYER_SERVER_SCORING_SIMILARITY_H_
#define MIDLAYER_SERVER_SCORING_SIMILARITY_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"

namespace midlayer {

// The cosine of row i of `first` and row i of `second`, -1 to 1, computed in float64; 0 where one of them is zero.
// Both: (N, D), float32 or float64. InvalidArgument: vectors that CheckVectors refuses, different shapes.
absl::StatusOr<std::vector<double>> PairCosines(const at::Tensor& first_ND, const at::Tensor& second_ND);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_SIMILARITY_H_
