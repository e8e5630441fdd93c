#include "server/scoring/lbfgs.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/max.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "server/base/status.h"

namespace midlayer {
namespace {

double Dot(const at::Tensor& a, const at::Tensor& b) { return at::dot(a, b).item<double>(); }
double Largest(const at::Tensor& x) { return at::max(at::abs(x)).item<double>(); }

struct Pair {
  at::Tensor step;    // s, of the point
  at::Tensor change;  // y, of the gradient
  double product;     // s·y
};

// -H g by the two-loop recursion.
at::Tensor Direction(const std::deque<Pair>& pairs, const at::Tensor& gradient) {
  at::Tensor q = -gradient;
  std::vector<double> alphas(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    alphas[i] = Dot(pairs[i].step, q) / pairs[i].product;
    q -= alphas[i] * pairs[i].change;
  }
  if (!pairs.empty()) q *= pairs.back().product / Dot(pairs.back().change, pairs.back().change);
  for (size_t i = 0; i < pairs.size(); ++i) {
    q += (alphas[i] - Dot(pairs[i].change, q) / pairs[i].product) * pairs[i].step;
  }
  return q;
}

struct Move {
  double length;
  Slope end;
};

// A length that meets the weak Wolfe conditions, by bisection and doubling (Lewis and Overton 2013); nullopt if none
// was found.
std::optional<Move> Search(const std::function<Slope(const at::Tensor&)>& function, const at::Tensor& point,
                           const Slope& from, const at::Tensor& direction, double length) {
  constexpr int kTries = 60;
  constexpr double kDecrease = 1e-4, kCurvature = 0.9;
  const double descent = Dot(from.gradient, direction);
  if (!(descent < 0)) return std::nullopt;
  double low = 0, high = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTries; ++i) {
    Slope end = function(point + length * direction);
    if (!(end.value <= from.value + kDecrease * length * descent)) {
      high = length;
    } else if (Dot(end.gradient, direction) < kCurvature * descent) {
      low = length;
    } else {
      return Move{.length = length, .end = std::move(end)};
    }
    length = high < std::numeric_limits<double>::infinity() ? (low + high) / 2 : 2 * low;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<LbfgsResult> Minimize(const std::function<Slope(const at::Tensor&)>& function, const at::Tensor& start,
                                     const LbfgsOptions& options) {
  at::Tensor point = start;
  Slope slope = function(point);
  const double enough = options.tolerance * Largest(slope.gradient);
  std::deque<Pair> pairs;
  int iteration = 0;
  bool converged = Largest(slope.gradient) <= enough;
  for (; iteration < options.max_iterations && !converged; ++iteration) {
    MIDLAYER_RETURN_IF_ERROR(CheckCancelled(options.cancelled));
    const at::Tensor direction = Direction(pairs, slope.gradient);
    const double length = pairs.empty() ? std::min(1.0, 1 / Largest(slope.gradient)) : 1;
    std::optional<Move> move = Search(function, point, slope, direction, length);
    if (!move.has_value()) {
      if (pairs.empty()) break;
      pairs.clear();  // once more, straight down
      continue;
    }
    Pair pair{.step = move->length * direction, .change = move->end.gradient - slope.gradient};
    pair.product = Dot(pair.step, pair.change);
    point = point + pair.step;
    slope = std::move(move->end);
    pairs.push_back(std::move(pair));
    if (pairs.size() > static_cast<size_t>(options.memory)) pairs.pop_front();
    converged = Largest(slope.gradient) <= enough;
  }
  return LbfgsResult{.point = point,
                     .value = slope.value,
                     .iterations = iteration,
                     .converged = converged || iteration < options.max_iterations};
}

}  // namespace midlayer
