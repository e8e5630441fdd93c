// LiDAR (Thilak et al. 2024, "LiDAR: sensing linear probing performance in joint embedding SSL architectures"): how
// many directions tell texts apart, as seen from what differs between views of one text.
#ifndef MIDLAYER_SERVER_SCORING_LIDAR_H_
#define MIDLAYER_SERVER_SCORING_LIDAR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/scoring/mode.h"

namespace midlayer {

// Takes N texts of A views each, one text at a time, and gives the entropy of the eigenvalues of
// M = Sw^(-1/2) Sb Sw^(-1/2), where c_i is the mean of text i's views x_ia, m the mean of all, and
//   Sb = 1/N sum_i (c_i - m)(c_i - m)^T,   Sw = 1/(N A) sum_ia (x_ia - c_i)(x_ia - c_i)^T + delta I.
// The published value is the exponential of this entropy (alpha = 1); "Layer by Layer" reports the entropy.
//
// Holds the c_i (N x D) and Sw (D x D) in float64. A text costs O(A D^2), the result O(D^3 + D^2 N) at the end. Where D
// is not above N, M is D x D; else the N x N matrix of the same positive eigenvalues is decomposed. Not thread-safe.
class LidarAccumulator {
 public:
  // delta: above 0, in squared units of the vectors. Directions in which the views of a text differ by much less count
  // as if they differed by this.
  explicit LidarAccumulator(double delta = 1e-4) : delta_(delta) {}

  // The views of one text, A >= 1; A and D are the same for all texts. A text that is refused leaves nothing behind.
  absl::Status Add(const at::Tensor& views_AD);

  int64_t texts() const { return static_cast<int64_t>(means_.size()); }

  // The min(N, D) first eigenvalues of M, ascending; the others are 0. FAILED_PRECONDITION for fewer than 2 texts.
  absl::StatusOr<std::vector<double>> Eigenvalues() const;

  // Their Renyi entropy, in nats. In the reference modes alpha = 2 is -log(|M|_F^2 / D^2), as in MatrixEntropy.
  absl::StatusOr<double> Entropy(double alpha, Mode mode) const;

 private:
  at::Tensor PendingScatter() const;  // of pending_; undefined where there is none

  double delta_;
  int64_t views_ = 0, dimensions_ = 0;  // 0: no text yet
  int64_t pending_rows_ = 0;
  std::vector<at::Tensor> means_;    // c_i, (D)
  std::vector<at::Tensor> pending_;  // x_ia - c_i of the last texts, (A, D) each: added to the scatter in one product
  at::Tensor scatter_DD_;            // sum of (x_ia - c_i)(x_ia - c_i)^T of the others; undefined where there are none
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_LIDAR_H_
