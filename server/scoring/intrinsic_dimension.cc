#include "server/scoring/intrinsic_dimension.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sub.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/base/status.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

constexpr double kFraction = 0.9;  // of the ratios that are fitted; the largest are noise (Facco et al.)

// Squared distances, from inner products.
class Distances {
 public:
  explicit Distances(const at::Tensor& gram_TT) : gram_(gram_TT.const_data_ptr<double>()), size_(gram_TT.size(0)) {}

  double operator()(int64_t i, int64_t j) const {
    const double squares = Square(i) + Square(j);
    return std::max(squares - 2 * gram_[i * size_ + j], squares * std::numeric_limits<double>::epsilon());
  }
  // Whether rounding leaves room for the points being equal.
  bool MayBeEqual(int64_t i, int64_t j) const { return (*this)(i, j) <= 1e-9 * (Square(i) + Square(j)); }

 private:
  double Square(int64_t i) const { return gram_[i * size_ + i]; }

  const double* gram_;
  int64_t size_;
};

std::vector<int64_t> DistinctPoints(const at::Tensor& x_TD, const Distances& distances) {
  const double* x = x_TD.const_data_ptr<double>();
  const int64_t width = x_TD.size(1);
  std::vector<int64_t> points;
  for (int64_t i = 0; i < x_TD.size(0); ++i) {
    const bool seen = std::any_of(points.begin(), points.end(), [&](int64_t j) {
      return distances.MayBeEqual(i, j) && std::equal(x + i * width, x + (i + 1) * width, x + j * width);
    });
    if (!seen) points.push_back(i);
  }
  return points;
}

// log(r2 / r1) of each point, ascending.
std::vector<double> LogRatios(const std::vector<int64_t>& points, const Distances& distances) {
  std::vector<double> ratios;
  for (int64_t i : points) {
    double nearest = std::numeric_limits<double>::infinity(), second = nearest;
    for (int64_t j : points) {
      const double distance = i == j ? std::numeric_limits<double>::infinity() : distances(i, j);
      second = std::min(second, std::max(nearest, distance));
      nearest = std::min(nearest, distance);
    }
    ratios.push_back((std::log(second) - std::log(nearest)) / 2);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

}  // namespace

absl::StatusOr<double> IntrinsicDimension(const at::Tensor& x_TD) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor x, ToMatrix(x_TD, "points"));
  const at::Tensor centered = at::sub(x, at::mean(x, 0));
  return IntrinsicDimension(x, at::mm(centered, centered.t()));
}

absl::StatusOr<double> IntrinsicDimension(const at::Tensor& x_TD, const at::Tensor& gram_TT) {
  const Distances distances(gram_TT);
  const std::vector<int64_t> points = DistinctPoints(x_TD, distances);
  if (points.size() < 3) return absl::FailedPreconditionError("fewer than 3 distinct vectors");
  const std::vector<double> ratios = LogRatios(points, distances);
  const auto count = static_cast<double>(ratios.size());
  double xy = 0, xx = 0;
  for (size_t i = 0; i < static_cast<size_t>(std::floor(kFraction * count)); ++i) {
    xy -= ratios[i] * std::log1p(-static_cast<double>(i + 1) / count);
    xx += ratios[i] * ratios[i];
  }
  constexpr double kRounding = 1e-24;  // equal distances differ by this much, squared and relative
  if (!(xx > kRounding)) return absl::FailedPreconditionError("vectors that are all equally far from each other");
  return xy / xx;
}

}  // namespace midlayer
