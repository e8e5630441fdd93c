// LoRA adapters as PEFT saves them, for merging into the weights of a checkpoint. No torch here: names, shapes, bytes.
#ifndef MIDLAYER_SERVER_MODELS_ADAPTER_H_
#define MIDLAYER_SERVER_MODELS_ADAPTER_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/base/digest.h"
#include "server/models/weight_map.h"
#include "server/weights/safetensors.h"

namespace midlayer {

// What an adapter adds to one weight: scale · B A (Hu et al., 2021). The views live as long as the adapter.
struct LoraDelta {
  TensorView a;                 // (rank, in)
  TensorView b;                 // (out, rank)
  double scale = 1;             // alpha / rank, or alpha / √rank (rank-stabilised: Kalajdzievski, 2023)
  bool fan_in_fan_out = false;  // the weight is stored as (in, out), so the delta is added transposed
};

// By the checkpoint's own name of the weight.
using BoundDeltas = std::map<std::string, LoraDelta>;

// A plain LoRA adapter of linear layers. Movable; const methods may be called from any number of threads.
class Adapter {
 public:
  // Reads adapter_config.json and the header of adapter_model.safetensors. Which modules are adapted is decided by the
  // tensors that are there, and each must be understood; alpha and rank of a module by the rules of PEFT 0.21. Settings
  // that would give other weights than a merge of plain LoRA does (DoRA, biases, modules saved whole, …) are refused.
  // Errors name file, key or tensor, expected and found. NOT_FOUND: no such directory or file. FAILED_PRECONDITION: the
  // tensors are a pickle file. INVALID_ARGUMENT: everything else.
  static absl::StatusOr<Adapter> Open(const std::filesystem::path& directory);

  // By the module's name in the model that the adapter was trained on, for example "model.layers.0.self_attn.q_proj".
  const std::map<std::string, LoraDelta>& deltas() const { return deltas_; }

  // Finds the weight of every delta in a checkpoint, whichever of `map`'s prefixes stand before either name. Shapes
  // tell whether a weight is stored as (in, out); where it is square, the adapter's fan_in_fan_out does. Deltas of what
  // `map` ignores, such as heads, are left out: no hidden state depends on them. INVALID_ARGUMENT where a delta has no
  // weight, or one of another shape: the adapter was made for another base.
  absl::StatusOr<BoundDeltas> Bind(const WeightMap& map, const std::map<std::string, TensorView>& tensors) const;

  // Empty, or a sentence for the log: adapter_config.json names another base than `model_name`, the name of a
  // directory. Not an error, because the same model goes by many names.
  std::string NoteOnBase(std::string_view model_name) const;

  // SHA-256 of all deltas and their names, in hexadecimal. Reads the whole file.
  std::string Digest() const;

 private:
  Adapter() = default;

  // Constant after Open().
  std::string directory_;
  std::string base_model_;  // as adapter_config.json names it; may be empty
  std::unique_ptr<SafetensorsFile> file_;
  std::map<std::string, LoraDelta> deltas_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_ADAPTER_H_
