// The shape of a curve over layers, one value for each layer. Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_CURVE_H_
#define MIDLAYER_SERVER_STATISTICS_CURVE_H_

#include <vector>

#include "absl/types/span.h"

namespace midlayer {

struct InflectionOptions {
  double least_turn = 0.03;  // of the curve's range
  int most = 3;
};

// Layers where the curve turns, the sharpest turn first. The rule:
// 1. Smooth: s_l = (c_{l-1} + 2 c_l + c_{l+1}) / 4 for inner layers. The ends stay, as if the curve went on straight
//    beyond them: to repeat the end values would bend every straight curve there.
// 2. Turn: t_l = |s_{l-1} - 2 s_l + s_{l+1}| for inner layers.
// 3. Layer l is one if t_l is larger than that of the layer before, not smaller than that of the layer after, and at
//    least `least_turn` times (largest - smallest value of c). Equal turns: the shallower layer first. At most `most`.
// A kink between a flat and a straight part in the middle of 24 layers turns by 0.04 of the range. None for fewer than
// 3 layers, for a constant curve, and if a value is not finite.
std::vector<int> InflectionLayers(absl::Span<const double> curve, const InflectionOptions& options = {});

// (c_{l+1} - c_l) / |c_l| for l = 0…n-2: one less than layers. 0 from 0 to 0; NaN from 0 to another value.
std::vector<double> RelativeChanges(absl::Span<const double> curve);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_CURVE_H_
