#include "server/statistics/distance_correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace midlayer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The distances of one set of points, computed again where they are needed: n^2 of them may not fit.
class Distances {
 public:
  explicit Distances(const Points& points)
      : points_(points), sums_(points.coordinates.size() / points.dimension, 0.0), total_(0) {
    for (size_t i = 0; i < size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const double distance = At(i, j);
        sums_[i] += distance;
        sums_[j] += distance;
      }
    }
    for (const double sum : sums_) total_ += sum;
  }

  size_t size() const { return sums_.size(); }

  double At(size_t i, size_t j) const {
    const double* a = points_.coordinates.data() + i * points_.dimension;
    const double* b = points_.coordinates.data() + j * points_.dimension;
    if (points_.dimension == 1) return std::fabs(*a - *b);
    double sum = 0;
    for (size_t d = 0; d < points_.dimension; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
    return std::sqrt(sum);
  }

  // The distance less the means of its row and column, plus the mean of all.
  double Centred(size_t i, size_t j, double distance) const {
    const double n = static_cast<double>(size());
    return distance - sums_[i] / n - sums_[j] / n + total_ / (n * n);
  }

  // For i != j and more than 2 points.
  double UCentred(size_t i, size_t j, double distance) const {
    const double n = static_cast<double>(size());
    return distance - (sums_[i] + sums_[j]) / (n - 2) + total_ / ((n - 1) * (n - 2));
  }

 private:
  const Points& points_;
  std::vector<double> sums_;  // of each row
  double total_;
};

// Sums of products of centred distances.
struct Products {
  double xy = 0, xx = 0, yy = 0;

  void Add(double x, double y, double weight) {
    xy += weight * x * y;
    xx += weight * x * x;
    yy += weight * y * y;
  }
  // The correlation is 0 where one of the two does not vary.
  double Correlation() const {
    const double scale = std::sqrt(xx) * std::sqrt(yy);
    return scale == 0 ? 0 : xy / scale;
  }
};

bool IsValid(const Points& points) {
  return points.dimension > 0 && !points.coordinates.empty() && points.coordinates.size() % points.dimension == 0 &&
         std::all_of(points.coordinates.begin(), points.coordinates.end(),
                     [](double value) { return std::isfinite(value); });
}

}  // namespace

DistanceStatistics DistanceCorrelation(const Points& x, const Points& y) {
  if (!IsValid(x) || !IsValid(y) || x.coordinates.size() / x.dimension != y.coordinates.size() / y.dimension) {
    return {kNan, kNan, kNan, kNan};
  }
  const Distances a(x), b(y);
  const size_t n = a.size();
  Products biased, unbiased;
  for (size_t i = 0; i < n; ++i) {
    biased.Add(a.Centred(i, i, 0), b.Centred(i, i, 0), 1);
    for (size_t j = 0; j < i; ++j) {
      const double distance_a = a.At(i, j), distance_b = b.At(i, j);
      biased.Add(a.Centred(i, j, distance_a), b.Centred(i, j, distance_b), 2);
      if (n > 3) unbiased.Add(a.UCentred(i, j, distance_a), b.UCentred(i, j, distance_b), 2);
    }
  }
  // Never negative but for rounding.
  const double squared = std::max(0.0, biased.Correlation());
  return {.covariance_sqr = std::max(0.0, biased.xy) / static_cast<double>(n) / static_cast<double>(n),
          .correlation = std::sqrt(squared),
          .correlation_sqr = squared,
          .unbiased_correlation_sqr = n > 3 ? unbiased.Correlation() : kNan};
}

}  // namespace midlayer
