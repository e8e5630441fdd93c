// What is made of a text. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_OUTPUT_H_
#define MIDLAYER_SERVER_ENGINE_OUTPUT_H_

#include <vector>

#include "absl/types/span.h"
#include "server/models/description.h"

namespace midlayer {

// kNormed: with the model's final norm applied to intermediate layers too.
enum class State { kRaw, kNormed };
enum class Fusion { kConcat, kMean, kWeightedSum };
enum class LayerSource { kRequest, kSelection, kDefault };

// One vector to make of every text, every choice made: layers are 0…max_layer.
struct OutputSpec {
  std::vector<int> layers;  // at least one
  Pooling pooling = Pooling::kMean;
  State state = State::kRaw;
  Fusion fusion = Fusion::kConcat;
  std::vector<float> weights;  // one a layer, for kWeightedSum
  bool normalize = true;
  int dimensions = 0;  // how many remain; 0: all
  bool dense = false;  // the model's Dense modules follow the pooling
  LayerSource source = LayerSource::kRequest;
};

// One pooled vector to take from the pass.
struct PoolSlot {
  int layer = 0;
  State state = State::kRaw;
  Pooling pooling = Pooling::kMean;
  bool dense = false;
};

// The pooled vectors that `outputs` are made of: for each output, one a layer, in order.
std::vector<PoolSlot> SlotsOf(absl::Span<const OutputSpec> outputs);

// The deepest layer among them.
int DeepestLayer(absl::Span<const PoolSlot> slots);

// The number of dimensions before the cut, where each pooled vector has `width`.
int FusedWidth(const OutputSpec& output, int width);

// Fuses the pooled vectors of one output (one a layer, of equal width), cuts, and normalises (L2; a zero vector stays).
std::vector<float> FinishVector(const OutputSpec& output, absl::Span<const std::vector<float>> pooled);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_OUTPUT_H_
