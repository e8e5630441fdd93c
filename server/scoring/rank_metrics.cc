#include "server/scoring/rank_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "server/base/status.h"
#include "server/scoring/entropy.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

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
absl::StatusOr<std::vector<double>> Spectrum(const at::Tensor& gram) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<double> all, SymmetricEigenvalues(gram));
  std::vector<double> positive = PositiveEigenvalues(all);
  if (positive.empty()) return absl::FailedPreconditionError("vectors that are all zero");
  return positive;
}

absl::StatusOr<std::vector<double>> CenteredSpectrum(const SetGrams& grams) {
  MIDLAYER_RETURN_IF_ERROR(grams.centered.status());
  return Spectrum(*grams.centered);
}

// What is made of the vectors at length 1.
void MeasureDirections(const SetGrams& grams, RankMetrics& metrics) {
  metrics.dropped_rows = grams.vectors - grams.unit_vectors;
  const auto n = static_cast<double>(grams.unit_vectors), d = static_cast<double>(grams.dimensions);
  if (n < 2) {
    metrics.self_cluster = metrics.anisotropy = absl::FailedPreconditionError("fewer than 2 vectors that are not zero");
    return;
  }
  metrics.anisotropy = (grams.unit_sum_squares - n) / (n * (n - 1));
  metrics.self_cluster = absl::FailedPreconditionError("fewer than 2 dimensions");
  if (d < 2) return;
  metrics.self_cluster = (d * SumOfSquares(grams.unit) - n * (d + n - 1)) / ((d - 1) * (n - 1) * n);
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

RankMetrics MeasureRank(const SetGrams& grams) {
  absl::StatusOr<std::vector<double>> lambda = Spectrum(grams.as_is);
  if (!lambda.ok()) return Undefined(lambda.status());
  std::vector<double> sigma;
  for (double value : *lambda) sigma.push_back(std::sqrt(value));
  RankMetrics metrics;
  metrics.effective_rank = ExpEntropy(*lambda, 1);
  metrics.roy_vetterli = ExpEntropy(sigma, 1);
  metrics.rank_me = RankMe(sigma, std::min(grams.vectors, grams.dimensions));
  metrics.participation_ratio = ExpEntropy(*lambda, 2);
  metrics.stable_rank = StableRank(*lambda);
  metrics.centered_spectrum = CenteredSpectrum(grams);
  metrics.ne_sum = metrics.centered_spectrum.ok() ? absl::StatusOr<double>(StableRank(*metrics.centered_spectrum))
                                                  : metrics.centered_spectrum.status();
  metrics.spectrum = *std::move(lambda);
  MeasureDirections(grams, metrics);
  return metrics;
}

RankMetrics MeasureRank(const at::Tensor& x_ND) {
  const absl::StatusOr<GroupedVectors> x = GroupedVectors::Of(x_ND, 1);
  return x.ok() ? MeasureRank(x->All()) : Undefined(x.status());
}

}  // namespace midlayer
