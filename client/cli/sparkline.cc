#include "client/cli/sparkline.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace midlayer::cli {
namespace {

constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// The mean of what is finite; NaN where nothing is.
double Mean(std::span<const double> values) {
  double sum = 0;
  int count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::string Sparkline(std::span<const double> values, size_t width) {
  const size_t columns = std::min(width, values.size());
  std::vector<double> means;
  for (size_t i = 0; i < columns; ++i) {
    const size_t first = i * values.size() / columns, last = (i + 1) * values.size() / columns;
    means.push_back(Mean(values.subspan(first, last - first)));
  }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double mean : means) {
    if (std::isnan(mean)) continue;
    low = std::min(low, mean);
    high = std::max(high, mean);
  }
  std::string line;
  for (const double mean : means) {
    if (std::isnan(mean)) {
      line += ' ';
    } else {
      line += kBars[high > low ? std::lround((mean - low) / (high - low) * 7) : 3];
    }
  }
  return line;
}

}  // namespace midlayer::cli
