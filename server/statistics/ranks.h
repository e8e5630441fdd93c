// Ranks of values, with ties. Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_RANKS_H_
#define MIDLAYER_SERVER_STATISTICS_RANKS_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace midlayer {

// Which end of a metric is the better one.
enum class Direction { kMin, kMax };

// Whether `a` is strictly better than `b`. Never where one of them is NaN.
inline bool IsBetter(double a, double b, Direction direction) { return direction == Direction::kMax ? a > b : a < b; }

// 1 for the smallest value up to n for the largest; equal values share the mean of their places. All NaN if one value
// is NaN.
std::vector<double> AverageRanks(absl::Span<const double> values);

// Places of a competition: 1 for the best, equal values share the best of their places (1, 2, 2, 4). 0 for NaN.
std::vector<int> CompetitionRanks(absl::Span<const double> values, Direction direction);

// The index of the best value, the first one among equals; -1 if there is none that is not NaN.
int BestIndex(absl::Span<const double> values, Direction direction);

// How many values there are of each value that is there more than once, in ascending order of the values. NaN is
// left out.
std::vector<size_t> TieSizes(absl::Span<const double> values);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_RANKS_H_
