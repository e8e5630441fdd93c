// One metric over the layers.
#ifndef MIDLAYER_SERVER_SELECTION_CURVE_H_
#define MIDLAYER_SERVER_SELECTION_CURVE_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "server/selection/metric.h"

namespace midlayer {

struct LayerScore {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::optional<double> standard_error;
  std::vector<float> examples;     // the value of each example; empty for metrics of the whole set
  std::vector<double> replicates;  // its bootstrap, where it is no mean of `examples`
  int rank = 0;                    // 1 is best, 0 where the value is NaN
  bool ties_with_best = false;     // within 2 standard errors of the difference
};

struct Curve {
  const Metric* metric = nullptr;
  std::string pooling;  // empty for metrics of tokens
  Direction direction = Direction::kMin;
  std::vector<LayerScore> layers;
  std::vector<uint64_t> example_indices;  // places in the input, where LayerScore::examples are filled
  uint64_t examples = 0;
  int best_layer = -1;  // -1 where every value is NaN
  std::vector<int> inflection_layers;

  std::vector<double> Values() const {
    std::vector<double> values;
    for (const LayerScore& layer : layers) values.push_back(layer.value);
    return values;
  }
};

// Fills in ranks, ties, best layer and inflections from values, standard errors and examples.
void Judge(Curve& curve);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_CURVE_H_
