// Binds the tensors of a checkpoint to the parts of an architecture. No torch here: shapes and names only.
#ifndef MIDLAYER_SERVER_MODELS_WEIGHT_MAP_H_
#define MIDLAYER_SERVER_MODELS_WEIGHT_MAP_H_

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/arch_spec.h"
#include "server/weights/weight_files.h"

namespace midlayer {

// A part of the model that holds parameters. Those from kQuery on exist once a block.
enum class Slot {
  kWordEmbedding,
  kPositionEmbedding,
  kTokenTypeEmbedding,
  kEmbeddingNorm,
  kRelativeBias,
  kFinalNorm,
  kQuery,
  kKey,
  kValue,
  kQkv,  // these three in one
  kQueryNorm,
  kKeyNorm,
  kAttentionOut,
  kAttentionNorm,
  kPostAttentionNorm,
  kMlpGate,
  kMlpUp,
  kMlpGateUp,  // these two in one
  kMlpDown,
  kMlpNorm,
  kPostMlpNorm,
  kMambaIn,
  kMambaConv,
  kMambaX,
  kMambaTimeStep,
  kMambaALog,
  kMambaD,
  kMambaOut,
};

// How a checkpoint lays out the rows of a projection, (out, in). kTransposed: (in, out). kByHead, of kQkv: query, key
// and value of one head after the other, instead of all queries, all keys, all values.
enum class Layout { kPlain, kTransposed, kByHead };

// One tensor of a part. `layer` is the block, 1…L, or 0 for parts that exist once.
struct Param {
  Slot slot;
  bool bias = false;
  int layer = 0;
  auto operator<=>(const Param&) const = default;
};

// A module's name in the checkpoint, without its ".weight" or ".bias"; "{}" stands for the block's number from 0.
struct WeightRule {
  std::string module;
  Slot slot;
  Layout layout = Layout::kPlain;
  bool bare = false;  // not a module but a tensor, which has no such ending
};

// How an architecture names its tensors.
struct WeightMap {
  // Prefixes under which the model may stand in a larger one, for example "bert.". None is always tried too.
  std::vector<std::string> prefixes;
  std::vector<WeightRule> rules;
  // Tensors left out on purpose: beginnings of names, with and without prefix, for example heads that no hidden state
  // depends on.
  std::vector<std::string> ignored;
  // The same, ends of names: buffers that old checkpoints hold once a block.
  std::vector<std::string> ignored_endings;
};

// The name of a tensor or module without the prefix of the model inside a larger one.
std::string_view WithoutPrefix(const WeightMap& map, std::string_view name);

// Whether the tensor of this name, which has no prefix, is left out on purpose.
bool IsIgnored(const WeightMap& map, std::string_view name);

// A tensor of the checkpoint with its name there.
struct BoundTensor {
  std::string_view name;
  const TensorView* view = nullptr;
  Layout layout = Layout::kPlain;
};
using BoundWeights = std::map<Param, BoundTensor>;

// Finds every tensor that `spec` needs up to block `max_layer`, each exactly once and with the right shape; every other
// tensor of the checkpoint must be ignored on purpose. Reads names and shapes only. The result points into `tensors`.
// INVALID_ARGUMENT names file, tensor, expected and found.
absl::StatusOr<BoundWeights> Bind(const WeightMap& map, const ArchSpec& spec,
                                  const std::map<std::string, TensorView>& tensors, int max_layer);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_WEIGHT_MAP_H_
