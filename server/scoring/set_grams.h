// The small matrices that the metrics of a set of vectors are made of, for the whole set and without a part of it.
#ifndef MIDLAYER_SERVER_SCORING_SET_GRAMS_H_
#define MIDLAYER_SERVER_SCORING_SET_GRAMS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace midlayer {

// Of N vectors of D dimensions. The Gram matrices are of one side, (N, N) or (D, D), float64: their eigenvalues above 0
// are the same.
struct SetGrams {
  int64_t vectors = 0;     // N
  int64_t dimensions = 0;  // D
  at::Tensor as_is;
  // Of the vectors less their mean. FAILED_PRECONDITION where they are all the same, but for rounding.
  absl::StatusOr<at::Tensor> centered;
  at::Tensor unit;              // of the vectors at length 1; zero vectors stay zero
  int64_t unit_vectors = 0;     // those that are not zero
  double unit_sum_squares = 0;  // |sum of the vectors at length 1|^2
};

// N vectors, row i in group i mod `groups`. The Grams of the whole set are made once, O(N D min(N, D)); those without a
// group are what remains of them, O(N D^2 / groups), or O(N^2) for N <= D. Thread-safe.
class GroupedVectors {
 public:
  // INVALID_ARGUMENT unless x is a matrix of real numbers and 1 <= groups <= N; FAILED_PRECONDITION where N < 2 or a
  // value is not finite.
  static absl::StatusOr<GroupedVectors> Of(const at::Tensor& x_ND, int64_t groups);

  int64_t groups() const { return groups_; }
  SetGrams All() const;
  // Without group 0...groups-1. What is left of a mean that all vectors share costs digits: vectors of which all but
  // 1e-13 of the squares go with `group` count as all the same.
  SetGrams Without(int64_t group) const;

 private:
  // Vectors with their Gram matrix.
  struct Form {
    at::Tensor rows_ND;
    at::Tensor gram;
  };
  GroupedVectors() = default;
  Form Of(const at::Tensor& rows_ND) const;
  // The Gram matrix without the rows of `group`; `kept` are the others.
  at::Tensor Without(const Form& form, int64_t group, const at::Tensor& kept) const;
  // `gram` unless it is nothing but rounding; `before`: its trace before the mean was taken away.
  absl::StatusOr<at::Tensor> Spread(const at::Tensor& gram, int64_t vectors, double before) const;

  int64_t groups_ = 1;
  bool of_vectors_ = false;  // Gram matrices are (N, N)
  double least_square_ = 0;  // of a centred vector that is not rounding
  Form as_is_, centered_, unit_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_SET_GRAMS_H_
