#include "server/scoring/dime.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/entropy.h"
#include "server/scoring/parallel.h"
#include "server/scoring/spectrum.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

absl::Status CheckPermutations(Permutations permutations, int64_t n) {
  if (permutations.empty()) return absl::InvalidArgumentError("permutations: expected at least one");
  for (const std::vector<int64_t>& permutation : permutations) {
    std::vector<bool> seen(static_cast<size_t>(n));
    for (int64_t row : permutation) {
      if (row < 0 || row >= n || seen[static_cast<size_t>(row)]) {
        return absl::InvalidArgumentError(
            absl::StrCat("permutations: expected each row from 0 to ", n - 1, " once, got ", row));
      }
      seen[static_cast<size_t>(row)] = true;
    }
    if (static_cast<int64_t>(permutation.size()) != n) {
      return absl::InvalidArgumentError(
          absl::StrCat("permutations: expected ", n, " rows each, got ", permutation.size()));
    }
  }
  return absl::OkStatus();
}

std::optional<double> StandardError(const std::vector<double>& values, double mean) {
  const auto count = static_cast<double>(values.size());
  if (values.size() < 2) return std::nullopt;
  double squares = 0;
  for (double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1) / count);
}

}  // namespace

absl::StatusOr<Dime> DifferenceOfEntropies(const at::Tensor& ka_NN, const at::Tensor& kb_NN, Permutations permutations,
                                           const DimeOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const double joint, JointEntropy(ka_NN, kb_NN, options.alpha, options.mode));
  MIDLAYER_RETURN_IF_ERROR(CheckPermutations(permutations, ka_NN.size(0)));
  const auto shuffled_entropy = [&](int64_t i) -> absl::StatusOr<double> {
    MIDLAYER_RETURN_IF_ERROR(CheckCancelled(options.cancelled));
    const at::Tensor rows = at::tensor(permutations[static_cast<size_t>(i)]);
    const at::Tensor kp_NN = at::index_select(at::index_select(kb_NN, 0, rows), 1, rows);
    return JointEntropy(ka_NN, kp_NN, options.alpha, options.mode);
  };
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<double> shuffled,
                            ParallelMap<double>(static_cast<int64_t>(permutations.size()), shuffled_entropy));
  Dime dime{.joint_entropy = joint, .shuffled_entropy = Mean(shuffled)};
  dime.value = dime.shuffled_entropy - joint;
  dime.standard_error = StandardError(shuffled, dime.shuffled_entropy);
  return dime;
}

absl::StatusOr<Dime> MeasureDime(const at::Tensor& a_ND, const at::Tensor& b_ND, Permutations permutations,
                                 const DimeOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor a, ToMatrix(a_ND, "first views"));
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor b, ToMatrix(b_ND, "second views"));
  if (a.sizes() != b.sizes()) {
    return absl::InvalidArgumentError(absl::StrCat("views: expected as many of each, got ", a.size(0), " x ", a.size(1),
                                                   " and ", b.size(0), " x ", b.size(1)));
  }
  if (a.size(0) < 2) return absl::FailedPreconditionError("fewer than 2 texts");
  const bool of_dimensions = options.mode != Mode::kDefinition && a.size(0) > a.size(1);
  const at::Tensor left = of_dimensions ? a.t() : a, right = of_dimensions ? b.t() : b;
  return DifferenceOfEntropies(at::mm(left, left.t()), at::mm(right, right.t()), permutations, options);
}

}  // namespace midlayer
