// DiME (Skean et al. 2023, "DiME: maximizing mutual information by a difference of matrix-based entropies"): how much
// more order the true pairs of views have than shuffled ones.
#ifndef MIDLAYER_SERVER_SCORING_DIME_H_
#define MIDLAYER_SERVER_SCORING_DIME_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"
#include "server/scoring/mode.h"

namespace midlayer {

struct Dime {
  double value = 0;             // shuffled_entropy - joint_entropy, in nats
  double joint_entropy = 0;     // S(Ka o Kb)
  double shuffled_entropy = 0;  // mean over permutations P of S(Ka o P Kb P^T)
  // Of the mean over permutations; none for a single one. Permutations shared by layers vary together: the noise of a
  // difference between layers is smaller.
  std::optional<double> standard_error;
};

struct DimeOptions {
  double alpha = 1;
  Mode mode = Mode::kDefinition;
  Cancelled cancelled;  // asked before each permutation
};

// One or more permutations of the rows, each naming every row once: (P K P^T)_ij = K_{p(i) p(j)}.
using Permutations = absl::Span<const std::vector<int64_t>>;

// Of two kernels (positive semi-definite, float64, n x n).
absl::StatusOr<Dime> DifferenceOfEntropies(const at::Tensor& ka_NN, const at::Tensor& kb_NN, Permutations permutations,
                                           const DimeOptions& options);

// Of two views of N texts, row by row: the kernels are A A^T and B B^T, the permutations are of N. In the reference
// modes they are A^T A and B^T B for N > D, and the permutations of D. O(P min(N, ...)^3): all but alpha = 2 decompose
// a matrix for every permutation.
absl::StatusOr<Dime> MeasureDime(const at::Tensor& a_ND, const at::Tensor& b_ND, Permutations permutations,
                                 const DimeOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_DIME_H_
