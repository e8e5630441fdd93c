#include "server/scoring/prompt_metrics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/outer.h>

#include "server/base/status.h"
#include "server/scoring/center.h"
#include "server/scoring/curvature.h"
#include "server/scoring/entropy.h"
#include "server/scoring/intrinsic_dimension.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

int64_t FewestTokens(Mode mode) { return mode == Mode::kDefinition ? 3 : 2; }

absl::Status CheckTokens(const at::Tensor& x_TD, Mode mode) {
  if (x_TD.size(0) >= FewestTokens(mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(mode == Mode::kDefinition ? "fewer than 3 tokens" : "fewer than 2 tokens");
}

absl::Status CheckDirections(const CenteredRows& centered, Mode mode) {
  if (centered.size() >= FewestTokens(mode)) return absl::OkStatus();
  return absl::FailedPreconditionError("too few tokens that differ from their mean");
}

// gram: of the centred tokens, not normalised.
absl::StatusOr<double> EntropyOf(const CenteredRows& centered, const at::Tensor& gram_KK,
                                 const EntropyOptions& options) {
  const int64_t tokens = centered.size(), width = centered.rows_KD.size(1);
  MIDLAYER_RETURN_IF_ERROR(CheckDirections(centered, options.mode));
  const at::Tensor kernel =
      tokens <= width ? gram_KK / at::outer(centered.norms_K, centered.norms_K) : SmallerGram(centered.Unit());
  return GramEntropy(kernel, tokens, width, options);
}

// The reference modes' curvature.
absl::StatusOr<double> UnitCurvature(const CenteredRows& centered, Mode mode) {
  MIDLAYER_RETURN_IF_ERROR(CheckDirections(centered, mode));
  if (mode == Mode::kReference2024) return NeighbourAngle(centered.Unit(), 1);
  return centered.size() < 3 ? 0 : TurningAngle(centered.Unit(), /*folded=*/true);
}

TokenMetrics Undefined(const absl::Status& status) {
  return {.prompt_entropy = status, .curvature = status, .intrinsic_dimension = status, .pooled_centered_D = status};
}

}  // namespace

absl::StatusOr<double> PromptEntropy(const at::Tensor& x_TD, const EntropyOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_TD, "states"));
  MIDLAYER_RETURN_IF_ERROR(CheckTokens(x, options.mode));
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x));
  MIDLAYER_RETURN_IF_ERROR(CheckDirections(centered, options.mode));
  return GramEntropy(SmallerGram(centered.Unit()), centered.size(), x.size(1), options);
}

absl::StatusOr<double> Curvature(const at::Tensor& x_TD, Mode mode) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_TD, "states"));
  MIDLAYER_RETURN_IF_ERROR(CheckTokens(x, mode));
  if (mode == Mode::kDefinition) return TurningAngle(x, /*folded=*/false);
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x));
  return UnitCurvature(centered, mode);
}

TokenMetrics Measure(const at::Tensor& x_TD, const EntropyOptions& options) {
  const absl::StatusOr<at::Tensor> x = ToMatrix(x_TD, "states");
  if (!x.ok()) return Undefined(x.status());
  const absl::Status enough = CheckTokens(*x, options.mode);
  const absl::StatusOr<CenteredRows> centered = Center(*x);
  const bool definition = options.mode == Mode::kDefinition;
  if (!enough.ok() || !centered.ok()) {
    TokenMetrics metrics = Undefined(enough.ok() ? centered.status() : enough);
    metrics.dropped_tokens = centered.ok() ? centered->dropped : x->size(0);
    if (enough.ok() && definition) metrics.curvature = TurningAngle(*x, /*folded=*/false);
    if (centered.ok()) metrics.pooled_centered_D = centered->Pooled();
    return metrics;
  }
  const at::Tensor gram_KK = at::mm(centered->rows_KD, centered->rows_KD.t());
  return {.prompt_entropy = EntropyOf(*centered, gram_KK, options),
          .curvature = definition ? TurningAngle(*x, /*folded=*/false) : UnitCurvature(*centered, options.mode),
          .intrinsic_dimension = centered->dropped == 0 ? IntrinsicDimension(*x, gram_KK) : IntrinsicDimension(*x),
          .pooled_centered_D = centered->Pooled(),
          .dropped_tokens = centered->dropped};
}

}  // namespace midlayer
