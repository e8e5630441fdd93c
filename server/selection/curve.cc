#include "server/selection/curve.h"

#include "server/statistics/curve.h"
#include "server/statistics/ties.h"

namespace midlayer {

namespace {

// What `values` names of all layers, layer after layer; empty where it is not known of every layer.
template <typename T>
std::vector<double> AllOf(const Curve& curve, std::vector<T> LayerScore::* values) {
  std::vector<double> all;
  for (const LayerScore& layer : curve.layers) {
    if ((layer.*values).empty()) return {};
    all.insert(all.end(), (layer.*values).begin(), (layer.*values).end());
  }
  return all;
}

}  // namespace

void Judge(Curve& curve) {
  const std::vector<double> values = curve.Values(), examples = AllOf(curve, &LayerScore::examples),
                            replicates = AllOf(curve, &LayerScore::replicates);
  std::vector<double> errors;
  for (const LayerScore& layer : curve.layers) {
    errors.push_back(layer.standard_error.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  // Sizes fit by construction.
  const LayerTies ties = LayersTiedWithBest({.direction = curve.direction,
                                             .values_L = values,
                                             .standard_errors_L = errors,
                                             .examples_LN = examples,
                                             .replicates_LR = replicates})
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
