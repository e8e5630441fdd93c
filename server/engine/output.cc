#include "server/engine/output.h"

#include <algorithm>
#include <cmath>

namespace midlayer {

std::vector<PoolSlot> SlotsOf(absl::Span<const OutputSpec> outputs) {
  std::vector<PoolSlot> slots;
  for (const OutputSpec& output : outputs) {
    for (int layer : output.layers) slots.push_back({layer, output.state, output.pooling, output.dense});
  }
  return slots;
}

int DeepestLayer(absl::Span<const PoolSlot> slots) {
  int deepest = 0;
  for (const PoolSlot& slot : slots) deepest = std::max(deepest, slot.layer);
  return deepest;
}

int FusedWidth(const OutputSpec& output, int width) {
  return output.fusion == Fusion::kConcat ? width * static_cast<int>(output.layers.size()) : width;
}

std::vector<float> FinishVector(const OutputSpec& output, absl::Span<const std::vector<float>> pooled) {
  std::vector<float> vector;
  if (output.fusion == Fusion::kConcat) {
    for (const std::vector<float>& part : pooled) vector.insert(vector.end(), part.begin(), part.end());
  } else {
    vector.resize(pooled[0].size());
    for (size_t i = 0; i < pooled.size(); ++i) {
      const float weight =
          output.fusion == Fusion::kMean ? 1.0f / static_cast<float>(pooled.size()) : output.weights[i];
      for (size_t d = 0; d < vector.size(); ++d) vector[d] += weight * pooled[i][d];
    }
  }
  if (output.dimensions > 0) vector.resize(output.dimensions);
  if (output.normalize) {
    double square = 0;
    for (float value : vector) square += static_cast<double>(value) * value;
    const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
    for (float& value : vector) value = static_cast<float>(value * scale);
  }
  return vector;
}

}  // namespace midlayer
