// How well classes separate: the silhouette of Rousseeuw (1987). Thread-safe functions; see CosineSilhouette for the
// class.
//
// For example i of class A: a is its mean distance to the other members of A, b the smallest mean distance to the
// members of another class, s = (b - a) / max(a, b), from -1 to 1, higher is better. s = 0 for the only member of a
// class and where a = b = 0, as in scikit-learn.
#ifndef MIDLAYER_SERVER_SCORING_SILHOUETTE_H_
#define MIDLAYER_SERVER_SCORING_SILHOUETTE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"

namespace midlayer {

// kCosine: 1 - cosine; a zero vector has distance 1 to all others.
enum class Distance { kEuclidean, kCosine, kManhattan };

struct SilhouetteScores {
  double mean = 0;
  std::vector<double> samples;  // s of every example
};

// Exact, all pairs. x: (N, D), float32 or float64, computed in float64 in blocks of rows; labels: any numbers, one an
// example. Distances below the rounding of float64 count as 0. Time O(N² D), scratch O(N D) and one block.
// InvalidArgument: vectors that CheckVectors refuses, labels of another number, other than 2…N-1 classes. CANCELLED
// before the block after `cancelled` says so.
absl::StatusOr<SilhouetteScores> Silhouette(const at::Tensor& x_ND, absl::Span<const int64_t> labels, Distance distance,
                                            const Cancelled& cancelled = nullptr);

// The same for kCosine without keeping the vectors: the mean distance of a unit vector x to a class is 1 - x·m with m
// the class's mean of unit vectors. Two passes over the vectors, in parts of any size: Add all, then Samples of all.
// Memory O(C D) and a part. Equals Silhouette up to rounding (1e-12). Thread-compatible.
class CosineSilhouette {
 public:
  // Labels are 0…classes-1; dimensions: D. Both at least 1.
  CosineSilhouette(int64_t classes, int64_t dimensions);

  // First pass. InvalidArgument: vectors that CheckVectors refuses or of another D, labels out of range.
  absl::Status Add(const at::Tensor& x_ND, absl::Span<const int64_t> labels);

  // Second pass: s of these examples, which were added before. FailedPrecondition unless 2…N-1 classes have members;
  // InvalidArgument as Add.
  absl::StatusOr<std::vector<double>> Samples(const at::Tensor& x_ND, absl::Span<const int64_t> labels) const;

 private:
  absl::Status Check(const at::Tensor& x_ND, absl::Span<const int64_t> labels) const;

  const int64_t classes_;
  const int64_t dimensions_;
  at::Tensor sums_CD_;    // of unit vectors; on the device of the first vectors added
  at::Tensor members_C_;  // float64, beside the sums
  int64_t examples_ = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_SILHOUETTE_H_
