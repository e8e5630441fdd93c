// Minimises a smooth function by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5).
// Thread-safe. libtorch's own optimiser takes gradients of its autograd alone, which is off where a model serves.
#ifndef MIDLAYER_SERVER_SCORING_LBFGS_H_
#define MIDLAYER_SERVER_SCORING_LBFGS_H_

#include <ATen/core/Tensor.h>

#include <functional>

#include "absl/status/statusor.h"
#include "server/base/cancelled.h"

namespace midlayer {

struct LbfgsOptions {
  int max_iterations = 2000;
  // Ends where no component of the gradient is larger than this times the largest at the start.
  double tolerance = 1e-8;
  int memory = 20;      // pairs of steps kept
  Cancelled cancelled;  // asked before each iteration
};

// A value with its gradient, of the shape of the point.
struct Slope {
  double value = 0;
  at::Tensor gradient;
};

struct LbfgsResult {
  at::Tensor point;
  double value = 0;
  int iterations = 0;
  // The tolerance was reached, or no step along the direction improves the value any more (its rounding is reached).
  bool converged = false;
};

// From `start` (one dimension, float64), which must have a finite value. CANCELLED where the options say so.
absl::StatusOr<LbfgsResult> Minimize(const std::function<Slope(const at::Tensor&)>& function, const at::Tensor& start,
                                     const LbfgsOptions& options = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_LBFGS_H_
