// Matrix-based Renyi entropy of order alpha (Giraldo, Rao, Principe 2015, "Measures of entropy from data using
// infinitely divisible kernels"), in nats, and what is built from it.
//
// S_alpha(K) = log(sum_i p_i^alpha) / (1 - alpha), p = eigenvalues of K over their sum; alpha = 1 is its limit, the von
// Neumann entropy -sum_i p_i log p_i. 0 for rank 1, at most log(rank).
#ifndef MIDLAYER_SERVER_SCORING_ENTROPY_H_
#define MIDLAYER_SERVER_SCORING_ENTROPY_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/scoring/mode.h"

namespace midlayer {

// INVALID_ARGUMENT unless finite and above 0.
absl::Status CheckAlpha(double alpha);

// Of a matrix with these eigenvalues; those that are negative or rounding are left out. FAILED_PRECONDITION where none
// is left.
absl::StatusOr<double> RenyiEntropy(absl::Span<const double> eigenvalues, double alpha);

// Of a positive semi-definite float64 matrix, of any trace. alpha = 2 needs no eigenvalues: -log(|K|_F^2 / tr(K)^2).
// The reference modes divide by N^2 there, which is the same only where tr(K) = N, and may be negative.
absl::StatusOr<double> MatrixEntropy(const at::Tensor& k_NN, double alpha, Mode mode = Mode::kDefinition);

// S(Kx o Ky), o element by element.
absl::StatusOr<double> JointEntropy(const at::Tensor& kx_NN, const at::Tensor& ky_NN, double alpha,
                                    Mode mode = Mode::kDefinition);

// S(Kx) + S(Ky) - S(Kx o Ky).
absl::StatusOr<double> MutualInformation(const at::Tensor& kx_NN, const at::Tensor& ky_NN, double alpha,
                                         Mode mode = Mode::kDefinition);

// An entropy of N rows of D dimensions in the units asked for. FAILED_PRECONDITION where that divides by log 1.
absl::StatusOr<double> Normalize(double entropy, EntropyNormalization normalization, int64_t n, int64_t d);

// The entropy of N vectors of D dimensions from their Gram matrix (either side), normalised. The reference modes set
// negative entries of the matrix to 0 first.
absl::StatusOr<double> GramEntropy(const at::Tensor& gram, int64_t n, int64_t d, const EntropyOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_ENTROPY_H_
