// Distance correlation (Székely, Rizzo and Bakirov 2007), which sees every kind of dependence, not only monotone ones.
// Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_DISTANCE_CORRELATION_H_
#define MIDLAYER_SERVER_STATISTICS_DISTANCE_CORRELATION_H_

#include <cstddef>

#include "absl/types/span.h"

namespace midlayer {

// n points of `dimension` coordinates each, one after the other.
struct Points {
  absl::Span<const double> coordinates;
  size_t dimension = 1;
};

// The first three are those of the biased statistic: 0…1, 0 if x or y is constant. The last one is the unbiased
// estimate of the squared correlation from U-centred distances (Székely and Rizzo 2014): it may be negative, is near 0
// for independent values however small n is, 0 if x or y is constant, and NaN for fewer than 4 points.
struct DistanceStatistics {
  double covariance_sqr;
  double correlation;
  double correlation_sqr;
  double unbiased_correlation_sqr;
};

// Of the Euclidean distances between the points of x with those between the points of y. All NaN if there are none, if
// x and y are not as many, if the last point is not complete, or where a coordinate is not finite. O(n^2) time, O(n)
// memory.
DistanceStatistics DistanceCorrelation(const Points& x, const Points& y);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_DISTANCE_CORRELATION_H_
