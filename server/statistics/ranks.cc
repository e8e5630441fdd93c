#include "server/statistics/ranks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace midlayer {
namespace {

bool AnyNan(absl::Span<const double> values) {
  return std::any_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
}

}  // namespace

std::vector<double> AverageRanks(absl::Span<const double> values) {
  const size_t n = values.size();
  std::vector<double> ranks(n, std::numeric_limits<double>::quiet_NaN());
  if (AnyNan(values)) return ranks;
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [values](size_t a, size_t b) { return values[a] < values[b]; });
  for (size_t begin = 0, end = 0; begin < n; begin = end) {
    while (end < n && values[order[end]] == values[order[begin]]) ++end;
    // The mean of the places begin + 1 … end.
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = 0.5 * static_cast<double>(begin + 1 + end);
  }
  return ranks;
}

std::vector<int> CompetitionRanks(absl::Span<const double> values, Direction direction) {
  std::vector<int> ranks(values.size(), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const auto better = std::count_if(values.begin(), values.end(), [value = values[i], direction](double other) {
      return IsBetter(other, value, direction);
    });
    ranks[i] = static_cast<int>(better) + 1;
  }
  return ranks;
}

int BestIndex(absl::Span<const double> values, Direction direction) {
  int best = -1;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    if (best < 0 || IsBetter(values[i], values[best], direction)) best = static_cast<int>(i);
  }
  return best;
}

std::vector<size_t> TieSizes(absl::Span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::erase_if(sorted, [](double value) { return std::isnan(value); });
  std::sort(sorted.begin(), sorted.end());
  std::vector<size_t> sizes;
  for (size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    if (end - begin > 1) sizes.push_back(end - begin);
  }
  return sizes;
}

}  // namespace midlayer
