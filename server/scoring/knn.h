// k nearest neighbours: how often the classes of the nearest vectors tell that of a vector. Thread-safe.
#ifndef MIDLAYER_SERVER_SCORING_KNN_H_
#define MIDLAYER_SERVER_SCORING_KNN_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"

namespace midlayer {

struct KnnScores {
  double accuracy = 0;
  std::vector<double> correct;       // of every example, 1 or 0
  std::vector<int64_t> predictions;  // labels
};

// Leave-one-out: each example is told by the majority of the k others of highest cosine; of classes with equal votes by
// the one whose nearest member is nearest. x: (N, D), float32 or float64; labels: any numbers, one an example. Cosines
// are computed in float64 and compared in float32, so that equal vectors tie; ties go to the earlier example. A zero
// vector has cosine 0 with all. Time O(N² D), scratch O(N D) and one block of rows.
// InvalidArgument: vectors that CheckVectors refuses, labels of another number, k not in 1…N-1.
// CANCELLED before the block after `cancelled` says so.
absl::StatusOr<KnnScores> KnnAccuracy(const at::Tensor& x_ND, absl::Span<const int64_t> labels, int k,
                                      const Cancelled& cancelled = nullptr);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_KNN_H_
