#include "server/scoring/infonce.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/min.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/spectrum.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

constexpr int64_t kTileRows = 256;

absl::StatusOr<at::Tensor> Prepare(const at::Tensor& x_ND, bool cosine, std::string_view name) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_ND, name));
  if (!cosine) return x;
  const at::Tensor norms = at::linalg_vector_norm(x, 2, 1, /*keepdim=*/true);
  if (at::min(norms).item<double>() == 0) return absl::FailedPreconditionError("zero vector");
  return x / norms;
}

// Losses of the anchors against the candidates. Anchor i's other view is candidate (i + shift) % M; where
// `without_self`, candidate i is itself.
absl::StatusOr<std::vector<double>> Losses(const at::Tensor& anchors_RD, const at::Tensor& candidates_MD, int64_t shift,
                                           bool without_self, const InfoNceOptions& options) {
  const int64_t anchors = anchors_RD.size(0), candidates = candidates_MD.size(0);
  std::vector<double> losses;
  losses.reserve(static_cast<size_t>(anchors));
  const auto visit = [&](int64_t first, int64_t rows) {
    const at::Tensor tile = at::mm(anchors_RD.narrow(0, first, rows), candidates_MD.t()).div_(options.temperature);
    double* logits = tile.mutable_data_ptr<double>();
    if (without_self) {
      for (int64_t row = 0; row < rows; ++row) {
        logits[row * candidates + first + row] = -std::numeric_limits<double>::infinity();
      }
    }
    const at::Tensor all = at::logsumexp(tile, 1);
    const double* total = all.const_data_ptr<double>();
    for (int64_t row = 0; row < rows; ++row) {
      losses.push_back(std::fmax(0, total[row] - logits[row * candidates + (first + row + shift) % candidates]));
    }
  };
  MIDLAYER_RETURN_IF_ERROR(ForEachBlock(anchors, kTileRows, options.cancelled, visit));
  return losses;
}

}  // namespace

absl::StatusOr<InfoNce> MeasureInfoNce(const at::Tensor& a_ND, const at::Tensor& b_ND, const InfoNceOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("temperature: expected a finite number above 0, got ", options.temperature));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor a, Prepare(a_ND, options.cosine, "first views"));
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor b, Prepare(b_ND, options.cosine, "second views"));
  if (a.sizes() != b.sizes()) {
    return absl::InvalidArgumentError(absl::StrCat("views: expected as many of each, got ", a.size(0), " x ", a.size(1),
                                                   " and ", b.size(0), " x ", b.size(1)));
  }
  const int64_t n = a.size(0);
  if (n < 2) return absl::FailedPreconditionError("fewer than 2 texts");
  const bool both = options.form == InfoNceForm::kNtXent;
  const at::Tensor z = both ? at::cat({a, b}) : at::Tensor();
  InfoNce result;
  MIDLAYER_ASSIGN_OR_RETURN(result.losses, both ? Losses(z, z, n, /*without_self=*/true, options)
                                                : Losses(a, b, 0, /*without_self=*/false, options));
  result.loss =
      std::accumulate(result.losses.begin(), result.losses.end(), 0.0) / static_cast<double>(result.losses.size());
  if (!std::isfinite(result.loss)) return NotFinite();
  result.mutual_information = std::log(static_cast<double>(both ? 2 * n - 1 : n)) - result.loss;
  return result;
}

}  // namespace midlayer
