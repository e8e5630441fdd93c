#include "server/statistics/paired.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace midlayer {

std::vector<double> PairedDifferences(absl::Span<const double> a, absl::Span<const double> b) {
  std::vector<double> differences;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!std::isnan(a[i] - b[i])) differences.push_back(a[i] - b[i]);
  }
  return differences;
}

}  // namespace midlayer
