// How many directions a set of vectors fills, and how evenly: collapse in numbers.
#ifndef MIDLAYER_SERVER_SCORING_RANK_METRICS_H_
#define MIDLAYER_SERVER_SCORING_RANK_METRICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/scoring/set_grams.h"

namespace midlayer {

// Of N vectors x_i of D dimensions, N >= 2. sigma: singular values of the N x D matrix; lambda = sigma^2; H(p) =
// -sum p log p. Each field has its own reason where it is not defined.
struct RankMetrics {
  // exp(H(lambda / sum lambda)): exponential of the von Neumann entropy. Never above roy_vetterli.
  absl::StatusOr<double> effective_rank;
  // exp(H(sigma / sum sigma)) (Roy, Vetterli 2007, "The effective rank").
  absl::StatusOr<double> roy_vetterli;
  // exp(-sum p log p) with p = sigma / sum sigma + 1e-7, over min(N, D) values (Garrido et al. 2023, "RankMe").
  absl::StatusOr<double> rank_me;
  // (sum lambda)^2 / sum lambda^2, the exponential of the Renyi entropy of order 2 (Gao et al. 2017).
  absl::StatusOr<double> participation_ratio;
  // sum lambda / max lambda (Rudelson, Vershynin 2007).
  absl::StatusOr<double> stable_rank;
  // The same of the centred vectors, so of their covariance (He, Ozay 2022, "Exploring the gap between collapsed and
  // whitened features").
  absl::StatusOr<double> ne_sum;
  // (D |Z Z^T|_F^2 - N (D + N - 1)) / ((D - 1) (N - 1) N), rows of Z: x_i / |x_i| (Tsitsulin et al. 2023, "Unsupervised
  // embedding quality evaluation"): 0 for random directions, 1 where all are the same. D >= 2.
  absl::StatusOr<double> self_cluster;
  // Mean cosine of the pairs i != j (Ethayarajh 2019, "How contextual are contextualized word representations?").
  absl::StatusOr<double> anisotropy;
  // The eigenvalues above 0 that all this is made of: lambda, and those of the centred vectors.
  absl::StatusOr<std::vector<double>> spectrum, centered_spectrum;
  // Zero vectors, which self_cluster and anisotropy leave out.
  int64_t dropped_rows = 0;
};

// One decomposition for the vectors as they are and one for the centred ones: O(N D min(N, D)), O(min(N, D)^3) where
// the Grams are at hand.
RankMetrics MeasureRank(const at::Tensor& x_ND);
RankMetrics MeasureRank(const SetGrams& grams);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_RANK_METRICS_H_
