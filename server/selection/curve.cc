#include "server/selection/curve.h"

#include "server/statistics/curve.h"
#include "server/statistics/ties.h"

namespace midlayer {

namespace {

// The values of all examples, layer after layer; empty where they are not known of every layer.
std::vector<double> ExamplesOf(const Curve& curve) {
  std::vector<double> examples;
  for (const LayerScore& layer : curve.layers) {
    if (layer.examples.empty()) return {};
    examples.insert(examples.end(), layer.examples.begin(), layer.examples.end());
  }
  return examples;
}

}  // namespace

void Judge(Curve& curve) {
  const std::vector<double> values = curve.Values(), examples = ExamplesOf(curve);
  std::vector<double> errors;
  for (const LayerScore& layer : curve.layers) {
    errors.push_back(layer.standard_error.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  // Sizes fit by construction.
  const LayerTies ties =
      LayersTiedWithBest(
          {.direction = curve.direction, .values_L = values, .standard_errors_L = errors, .examples_LN = examples})
          .value();
  const std::vector<int> ranks = CompetitionRanks(values, curve.direction);
  for (size_t layer = 0; layer < curve.layers.size(); ++layer) {
    curve.layers[layer].rank = ranks[layer];
    curve.layers[layer].ties_with_best = ties.tied_L[layer];
  }
  curve.best_layer = ties.best;
  curve.inflection_layers = InflectionLayers(values);
}

}  // namespace midlayer
