#include "server/statistics/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace midlayer {
namespace {

// |second difference| of the smoothed curve; 0 for the two ends.
std::vector<double> Turns(absl::Span<const double> curve) {
  const size_t layers = curve.size();
  std::vector<double> smooth(curve.begin(), curve.end()), turns(layers, 0.0);
  for (size_t l = 1; l + 1 < layers; ++l) smooth[l] = (curve[l - 1] + 2 * curve[l] + curve[l + 1]) / 4;
  for (size_t l = 1; l + 1 < layers; ++l) turns[l] = std::fabs(smooth[l - 1] - 2 * smooth[l] + smooth[l + 1]);
  return turns;
}

}  // namespace

std::vector<int> InflectionLayers(absl::Span<const double> curve, const InflectionOptions& options) {
  std::vector<int> layers;
  if (curve.size() < 3 || !std::all_of(curve.begin(), curve.end(), [](double c) { return std::isfinite(c); })) {
    return layers;
  }
  const auto [smallest, largest] = std::minmax_element(curve.begin(), curve.end());
  const double least = options.least_turn * (*largest - *smallest);
  const std::vector<double> turns = Turns(curve);
  for (size_t l = 1; l + 1 < curve.size(); ++l) {
    if (turns[l] > turns[l - 1] && turns[l] >= turns[l + 1] && turns[l] >= least) layers.push_back(static_cast<int>(l));
  }
  std::stable_sort(layers.begin(), layers.end(), [&turns](int a, int b) { return turns[a] > turns[b]; });
  if (std::ssize(layers) > options.most) layers.resize(std::max(0, options.most));
  return layers;
}

std::vector<double> RelativeChanges(absl::Span<const double> curve) {
  std::vector<double> changes;
  for (size_t l = 1; l < curve.size(); ++l) {
    const double from = curve[l - 1], change = curve[l] - from;
    changes.push_back(from != 0     ? change / std::fabs(from)
                      : change == 0 ? 0
                                    : std::numeric_limits<double>::quiet_NaN());
  }
  return changes;
}

}  // namespace midlayer
