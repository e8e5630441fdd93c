#include "server/scoring/rank_metrics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "server/base/status.h"
#include "server/scoring/center.h"
#include "server/scoring/entropy.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

double SumOfSquares(const at::Tensor& x) {
  const at::Tensor flat = x.reshape({-1});
  return at::dot(flat, flat).item<double>();
}

// sum lambda / max lambda.
double StableRank(const std::vector<double>& lambda) {
  return std::accumulate(lambda.begin(), lambda.end(), 0.0) / *std::max_element(lambda.begin(), lambda.end());
}

// values: min(N, D) singular values.
double RankMe(const std::vector<double>& sigma, int64_t values) {
  constexpr double kEpsilon = 1e-7;
  const double sum = std::accumulate(sigma.begin(), sigma.end(), 0.0);
  const auto zeros = static_cast<double>(values - static_cast<int64_t>(sigma.size()));
  double entropy = -zeros * kEpsilon * std::log(kEpsilon);
  for (double value : sigma) {
    const double p = value / sum + kEpsilon;
    entropy -= p * std::log(p);
  }
  return std::exp(entropy);
}

absl::StatusOr<double> ExpEntropy(const std::vector<double>& values, double alpha) {
  MIDLAYER_ASSIGN_OR_RETURN(const double entropy, RenyiEntropy(values, alpha));
  return std::exp(entropy);
}

// The eigenvalues above 0, at least one.
absl::StatusOr<std::vector<double>> Spectrum(const at::Tensor& x_ND) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<double> all, SymmetricEigenvalues(SmallerGram(x_ND)));
  std::vector<double> positive = PositiveEigenvalues(all);
  if (positive.empty()) return absl::FailedPreconditionError("vectors that are all zero");
  return positive;
}

absl::StatusOr<std::vector<double>> CenteredSpectrum(const at::Tensor& x_ND) {
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x_ND));
  return Spectrum(centered.rows_KD);
}

absl::StatusOr<double> SelfCluster(const at::Tensor& z_ND) {
  const auto n = static_cast<double>(z_ND.size(0)), d = static_cast<double>(z_ND.size(1));
  if (d < 2) return absl::FailedPreconditionError("fewer than 2 dimensions");
  return (d * SumOfSquares(SmallerGram(z_ND)) - n * (d + n - 1)) / ((d - 1) * (n - 1) * n);
}

double Anisotropy(const at::Tensor& z_ND) {
  const auto n = static_cast<double>(z_ND.size(0));
  return (SumOfSquares(at::sum(z_ND, 0)) - n) / (n * (n - 1));
}

// What is made of the vectors at length 1.
void MeasureDirections(const at::Tensor& x_ND, RankMetrics& metrics) {
  const at::Tensor norms_N = at::linalg_vector_norm(x_ND, 2, 1);
  const at::Tensor kept = at::nonzero(norms_N).squeeze(1);
  metrics.dropped_rows = x_ND.size(0) - kept.size(0);
  if (kept.size(0) < 2) {
    metrics.self_cluster = metrics.anisotropy = absl::FailedPreconditionError("fewer than 2 vectors that are not zero");
    return;
  }
  const at::Tensor z_ND = at::index_select(x_ND / norms_N.unsqueeze(1), 0, kept);
  metrics.self_cluster = SelfCluster(z_ND);
  metrics.anisotropy = Anisotropy(z_ND);
}

RankMetrics Undefined(const absl::Status& status) {
  return {.effective_rank = status,
          .roy_vetterli = status,
          .rank_me = status,
          .participation_ratio = status,
          .stable_rank = status,
          .ne_sum = status,
          .self_cluster = status,
          .anisotropy = status,
          .spectrum = status,
          .centered_spectrum = status};
}

}  // namespace

RankMetrics MeasureRank(const at::Tensor& x_ND) {
  const absl::StatusOr<at::Tensor> x = ToMatrix(x_ND, "vectors");
  if (!x.ok()) return Undefined(x.status());
  if (x->size(0) < 2) return Undefined(absl::FailedPreconditionError("fewer than 2 vectors"));
  absl::StatusOr<std::vector<double>> lambda = Spectrum(*x);
  if (!lambda.ok()) return Undefined(lambda.status());
  std::vector<double> sigma;
  for (double value : *lambda) sigma.push_back(std::sqrt(value));
  RankMetrics metrics;
  metrics.effective_rank = ExpEntropy(*lambda, 1);
  metrics.roy_vetterli = ExpEntropy(sigma, 1);
  metrics.rank_me = RankMe(sigma, std::min(x->size(0), x->size(1)));
  metrics.participation_ratio = ExpEntropy(*lambda, 2);
  metrics.stable_rank = StableRank(*lambda);
  metrics.centered_spectrum = CenteredSpectrum(*x);
  metrics.ne_sum = metrics.centered_spectrum.ok() ? absl::StatusOr<double>(StableRank(*metrics.centered_spectrum))
                                                  : metrics.centered_spectrum.status();
  metrics.spectrum = *std::move(lambda);
  MeasureDirections(*x, metrics);
  return metrics;
}

}  // namespace midlayer
