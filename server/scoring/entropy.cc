#include "server/scoring/entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/trace.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

constexpr double kOne = 1e-8;  // closer to 1, the general formula has lost more than the limit differs

// alpha = 2.
absl::StatusOr<double> CollisionEntropy(const at::Tensor& k_NN, Mode mode) {
  const at::Tensor flat = k_NN.reshape({-1});
  const double squares = at::dot(flat, flat).item<double>();
  const bool definition = mode == Mode::kDefinition;
  const double mass = definition ? at::trace(k_NN).item<double>() : static_cast<double>(k_NN.size(0));
  if (!(squares > 0) || !(mass > 0)) return absl::FailedPreconditionError("matrix without a positive eigenvalue");
  const double entropy = 2 * std::log(mass) - std::log(squares);
  return definition ? std::fmax(0, entropy) : entropy;
}

}  // namespace

absl::Status CheckAlpha(double alpha) {
  if (std::isfinite(alpha) && alpha > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("alpha: expected a finite number above 0, got ", alpha));
}

absl::StatusOr<double> RenyiEntropy(absl::Span<const double> eigenvalues, double alpha) {
  MIDLAYER_RETURN_IF_ERROR(CheckAlpha(alpha));
  if (!std::all_of(eigenvalues.begin(), eigenvalues.end(), [](double value) { return std::isfinite(value); })) {
    return NotFinite();
  }
  const std::vector<double> positive = PositiveEigenvalues(eigenvalues);
  if (positive.empty()) return absl::FailedPreconditionError("matrix without a positive eigenvalue");
  const double sum = std::accumulate(positive.begin(), positive.end(), 0.0);
  if (!std::isfinite(sum)) return NotFinite();
  const bool limit = std::fabs(alpha - 1) < kOne;
  const double largest = *std::max_element(positive.begin(), positive.end());
  double total = 0;
  for (double value : positive) {
    const double p = value / sum;
    total += limit ? -p * std::log(p) : std::pow(value / largest, alpha);  // of the largest: some power never vanishes
  }
  return std::fmax(0, limit ? total : (alpha * std::log(largest / sum) + std::log(total)) / (1 - alpha));
}

absl::StatusOr<double> MatrixEntropy(const at::Tensor& k_NN, double alpha, Mode mode) {
  MIDLAYER_RETURN_IF_ERROR(CheckAlpha(alpha));
  MIDLAYER_RETURN_IF_ERROR(CheckKernel(k_NN));
  if (alpha == 2) return CollisionEntropy(k_NN, mode);
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<double> eigenvalues, SymmetricEigenvalues(k_NN));
  return RenyiEntropy(eigenvalues, alpha);
}

absl::StatusOr<double> JointEntropy(const at::Tensor& kx_NN, const at::Tensor& ky_NN, double alpha, Mode mode) {
  MIDLAYER_RETURN_IF_ERROR(CheckKernel(kx_NN));
  MIDLAYER_RETURN_IF_ERROR(CheckKernel(ky_NN));
  if (kx_NN.size(0) != ky_NN.size(0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("matrices: expected two of the same size, got ", kx_NN.size(0), " rows and ", ky_NN.size(0)));
  }
  return MatrixEntropy(kx_NN * ky_NN, alpha, mode);
}

absl::StatusOr<double> MutualInformation(const at::Tensor& kx_NN, const at::Tensor& ky_NN, double alpha, Mode mode) {
  MIDLAYER_ASSIGN_OR_RETURN(const double joint, JointEntropy(kx_NN, ky_NN, alpha, mode));
  MIDLAYER_ASSIGN_OR_RETURN(const double x, MatrixEntropy(kx_NN, alpha, mode));
  MIDLAYER_ASSIGN_OR_RETURN(const double y, MatrixEntropy(ky_NN, alpha, mode));
  return x + y - joint;
}

absl::StatusOr<double> Normalize(double entropy, EntropyNormalization normalization, int64_t n, int64_t d) {
  const double log_n = std::log(static_cast<double>(n)), log_d = std::log(static_cast<double>(d));
  double unit = 1;
  switch (normalization) {
    case EntropyNormalization::kRaw:
      break;
    case EntropyNormalization::kLogN:
      unit = log_n;
      break;
    case EntropyNormalization::kLogD:
      unit = log_d;
      break;
    case EntropyNormalization::kMaxEntropy:
      unit = std::fmin(log_n, log_d);
      break;
    case EntropyNormalization::kLogNLogD:
      unit = log_n * log_d;
      break;
  }
  if (!(unit > 0)) return absl::FailedPreconditionError("entropy normalised by the logarithm of 1");
  return entropy / unit;
}

absl::StatusOr<double> GramEntropy(const at::Tensor& gram, int64_t n, int64_t d, const EntropyOptions& options) {
  const at::Tensor kernel = options.mode == Mode::kDefinition ? gram : at::clamp_min(gram, 0);
  MIDLAYER_ASSIGN_OR_RETURN(const double entropy, MatrixEntropy(kernel, options.alpha, options.mode));
  return Normalize(entropy, options.normalization, n, d);
}

}  // namespace midlayer
