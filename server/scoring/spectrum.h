// From a matrix of vectors to the eigenvalues that most representation metrics are made of. float64 throughout.
//
// Everything in server/scoring is thread-safe (plain functions; classes say otherwise) and takes CPU tensors of any
// floating type; others are copied to the CPU first. Errors: INVALID_ARGUMENT where an option or a shape is wrong,
// FAILED_PRECONDITION where a metric is not defined for these values; its message is a reason without numbers, so that
// many may be counted by it. libtorch's own exceptions (out of memory) pass through.
#ifndef MIDLAYER_SERVER_SCORING_SPECTRUM_H_
#define MIDLAYER_SERVER_SCORING_SPECTRUM_H_

#include <ATen/core/Tensor.h>

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace midlayer {

// The reason where values are NaN, infinite, or overflow when they are squared.
absl::Status NotFinite();

// `x` in float64, contiguous on the CPU: N rows of D dimensions, both at least 1, all values finite and small enough to
// be squared. `name` is for messages.
absl::StatusOr<at::Tensor> ToMatrix(const at::Tensor& x, std::string_view name);

// Of all elements.
double SumOfSquares(const at::Tensor& x);

// X X^T (N x N) where N <= D, else X^T X (D x D): the positive eigenvalues are the same.
at::Tensor SmallerGram(const at::Tensor& x_ND);

// INVALID_ARGUMENT unless `k` is a square matrix of float64 on the CPU, FAILED_PRECONDITION unless its values are
// finite and small enough to be squared.
absl::Status CheckKernel(const at::Tensor& k_NN);

// All eigenvalues of a symmetric matrix that CheckKernel passes, ascending; its lower half is read.
absl::StatusOr<std::vector<double>> SymmetricEigenvalues(const at::Tensor& k_NN);

// Those that are not rounding: above n * epsilon times the largest (n: how many are given), the rule of numpy's
// matrix_rank. Empty where none is positive.
std::vector<double> PositiveEigenvalues(absl::Span<const double> eigenvalues);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_SPECTRUM_H_
