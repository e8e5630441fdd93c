#include "server/scoring/silhouette.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/max.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

// What a float64 sum of products may be off, relative to its terms.
constexpr double kRounding = 1e-14;

// `value` with what is below `least` set to 0.
at::Tensor Clean(const at::Tensor& value, const at::Tensor& least) { return at::where(value > least, value, 0); }
at::Tensor Clean(const at::Tensor& value) { return at::where(value > kRounding, value, 0); }

// What Distances takes: the vectors in the form that suits the distance.
at::Tensor Prepare(const at::Tensor& x_ND, Distance distance) {
  if (distance == Distance::kCosine) return UnitRows(x_ND);
  at::Tensor x = x_ND.to(at::kDouble);
  // Scores have no unit: keeps squares in range.
  x = x / at::max(at::abs(x)).clamp_min(std::numeric_limits<double>::min());
  // What all vectors share would only cost digits.
  return distance == Distance::kEuclidean ? x - at::mean(x, 0) : x;
}

// Distances of `count` prepared vectors from `first` on to all. Returns (count, N).
at::Tensor Distances(const at::Tensor& x_ND, int64_t first, int64_t count, Distance distance) {
  const at::Tensor block_BD = x_ND.narrow(0, first, count);
  switch (distance) {
    case Distance::kEuclidean: {
      const at::Tensor squares_N = at::sum(x_ND * x_ND, 1);
      const at::Tensor sums_BN = squares_N.narrow(0, first, count).unsqueeze(1) + squares_N;
      return at::sqrt(Clean(sums_BN - 2 * block_BD.matmul(x_ND.t()), kRounding * sums_BN));
    }
    case Distance::kCosine:
      return Clean(1 - block_BD.matmul(x_ND.t()));
    case Distance::kManhattan:
      return at::cdist(block_BD, x_ND, 1);
  }
  return {};
}

// s of examples, from the sums (B, C) of their distances to the classes (its own distance, 0, included) and their own
// classes (B, C), 1 or 0. A class without members is none.
at::Tensor FromSums(const at::Tensor& sums_BC, const at::Tensor& own_BC, const at::Tensor& members_C) {
  const at::Tensor others_B = at::sum(own_BC * members_C, 1) - 1;
  const at::Tensor a_B = at::sum(own_BC * sums_BC, 1) / others_B.clamp_min(1);
  const at::Tensor candidate_BC = (own_BC == 0).logical_and(members_C > 0);
  const at::Tensor means_BC =
      at::where(candidate_BC, sums_BC / members_C.clamp_min(1), std::numeric_limits<double>::infinity());
  const at::Tensor b_B = at::amin(means_BC, {1});
  const at::Tensor larger_B = at::maximum(a_B, b_B);
  return at::where((others_B > 0).logical_and(larger_B > 0), (b_B - a_B) / larger_B, 0);
}

// (N, C), 1 where the example is of the class.
at::Tensor OneHot(absl::Span<const int64_t> ids, int64_t classes, const at::Tensor& like) {
  const auto count = static_cast<int64_t>(ids.size());
  return at::zeros({count, classes}, like.options().dtype(at::kDouble))
      .scatter_(1, ToTensor(ids, like).unsqueeze(1), 1.0);
}

bool Valid(int64_t classes, int64_t examples) { return classes >= 2 && classes < examples; }

std::string Expected(int64_t classes, int64_t examples) {
  return absl::StrCat("labels: expected 2 to ", examples - 1, " classes among ", examples, " examples, found ",
                      classes);
}

}  // namespace

absl::StatusOr<SilhouetteScores> Silhouette(const at::Tensor& x_ND, absl::Span<const int64_t> labels, Distance distance,
                                            const Cancelled& cancelled) {
  MIDLAYER_RETURN_IF_ERROR(CheckLabelled(x_ND, labels));
  const ClassIds ids = IndexLabels(labels);
  const auto examples = static_cast<int64_t>(labels.size()), classes = static_cast<int64_t>(ids.labels.size());
  if (!Valid(classes, examples)) return absl::InvalidArgumentError(Expected(classes, examples));
  const at::Tensor prepared_ND = Prepare(x_ND, distance);
  const at::Tensor own_NC = OneHot(ids.ids, classes, prepared_ND);
  const at::Tensor members_C = at::sum(own_NC, 0);
  SilhouetteScores scores;
  const auto visit = [&](int64_t first, int64_t count) {
    at::Tensor distances_BN = Distances(prepared_ND, first, count, distance);
    distances_BN.diagonal(first).zero_();  // of a vector to itself, exactly
    const at::Tensor sums_BC = distances_BN.matmul(own_NC);
    const std::vector<double> block = ToVector(FromSums(sums_BC, own_NC.narrow(0, first, count), members_C));
    scores.samples.insert(scores.samples.end(), block.begin(), block.end());
  };
  MIDLAYER_RETURN_IF_ERROR(ForEachBlock(examples, BlockRows(examples), cancelled, visit));
  scores.mean = Mean(scores.samples);
  return scores;
}

CosineSilhouette::CosineSilhouette(int64_t classes, int64_t dimensions) : classes_(classes), dimensions_(dimensions) {}

absl::Status CosineSilhouette::Check(const at::Tensor& x_ND, absl::Span<const int64_t> labels) const {
  MIDLAYER_RETURN_IF_ERROR(CheckLabelled(x_ND, labels));
  if (x_ND.size(1) != dimensions_) {
    return absl::InvalidArgumentError(
        absl::StrCat("vectors: expected ", dimensions_, " dimensions, found ", x_ND.size(1)));
  }
  const auto bad =
      std::find_if(labels.begin(), labels.end(), [this](int64_t label) { return label < 0 || label >= classes_; });
  if (bad == labels.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("labels[", bad - labels.begin(), "]: expected 0 to ", classes_ - 1, ", found ", *bad));
}

absl::Status CosineSilhouette::Add(const at::Tensor& x_ND, absl::Span<const int64_t> labels) {
  MIDLAYER_RETURN_IF_ERROR(Check(x_ND, labels));
  const at::Tensor own_NC = OneHot(labels, classes_, x_ND);
  if (!sums_CD_.defined()) {
    sums_CD_ = at::zeros({classes_, dimensions_}, own_NC.options());
    members_C_ = at::zeros({classes_}, own_NC.options());
  }
  sums_CD_ += own_NC.t().matmul(UnitRows(x_ND)).to(sums_CD_.device());
  members_C_ += at::sum(own_NC, 0).to(members_C_.device());
  examples_ += x_ND.size(0);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> CosineSilhouette::Samples(const at::Tensor& x_ND,
                                                              absl::Span<const int64_t> labels) const {
  MIDLAYER_RETURN_IF_ERROR(Check(x_ND, labels));
  const int64_t classes = members_C_.defined() ? at::sum(members_C_ > 0).item<int64_t>() : 0;
  if (!Valid(classes, examples_)) return absl::FailedPreconditionError(Expected(classes, examples_));
  const at::Tensor unit_ND = UnitRows(x_ND).to(sums_CD_.device());
  const at::Tensor own_NC = OneHot(labels, classes_, unit_ND);
  // Sums of 1 - x·y over a class; over its own without x itself, whose x·x is 1, or 0 for a zero vector.
  const at::Tensor itself_NC = own_NC * (1 - at::sum(unit_ND * unit_ND, 1, /*keepdim=*/true));
  const at::Tensor sums_NC = members_C_ - unit_ND.matmul(sums_CD_.t()) - itself_NC;
  return ToVector(FromSums(Clean(sums_NC, kRounding * members_C_), own_NC, members_C_));
}

}  // namespace midlayer
