// The metrics of one text at one layer, from the states of its tokens: (T, D), float32 or float64, without padding.
//
// A text that is too short for a metric, or whose tokens have no direction, is FAILED_PRECONDITION with the reason
// ("fewer than 3 tokens", ...): skip and count it. The definitions ask for 3 tokens; the reference modes follow the
// original down to 2. Tokens that equal the mean of all tokens have no direction and are dropped from what is made of
// normalised tokens.
//
// Several threads may call at once. libtorch's intra-op threads gain nothing at these sizes: let each calling thread
// set at::set_num_threads(1) first.
#ifndef MIDLAYER_SERVER_SCORING_PROMPT_METRICS_H_
#define MIDLAYER_SERVER_SCORING_PROMPT_METRICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/scoring/mode.h"

namespace midlayer {

// Entropy of the Gram matrix of the centred, normalised tokens (Skean et al. 2025, "Layer by Layer"), N being the
// tokens.
absl::StatusOr<double> PromptEntropy(const at::Tensor& x_TD, const EntropyOptions& options);

// In radians. kDefinition: TurningAngle of the states as they are. kReference2025: the folded one of the centred,
// normalised tokens, 0 for 2 tokens. kReference2024: NeighbourAngle of these, k = 1.
absl::StatusOr<double> Curvature(const at::Tensor& x_TD, Mode mode);

// Every metric of tokens, each with its own reason where it is not defined.
struct TokenMetrics {
  absl::StatusOr<double> prompt_entropy;
  absl::StatusOr<double> curvature;
  absl::StatusOr<double> intrinsic_dimension;    // IntrinsicDimension
  absl::StatusOr<at::Tensor> pooled_centered_D;  // PooledCentered, float64
  int64_t dropped_tokens = 0;                    // without direction
};

// What the functions of these names return, for less than they cost one by one: centring and the Gram matrix are
// shared.
TokenMetrics Measure(const at::Tensor& x_TD, const EntropyOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_PROMPT_METRICS_H_
