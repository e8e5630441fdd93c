// What a model directory says about itself, read from config.json, tokenizer_config.json and, where they are there, the
// files of sentence-transformers. No torch, no weights.
#ifndef MIDLAYER_SERVER_MODELS_DESCRIPTION_H_
#define MIDLAYER_SERVER_MODELS_DESCRIPTION_H_

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/registry.h"

namespace midlayer {

// How the states of a text's tokens become one vector; see proto/midlayer/v1/types.proto.
enum class Pooling { kCls, kMean, kLast, kMax, kWeightedMean, kTrainedLast, kTrainedMulti };
// "cls", "mean", "last", "max", "weighted_mean", "trained_last", "trained_multi"
std::string_view PoolingName(Pooling pooling);
std::optional<Pooling> ParsePooling(std::string_view name);
// Whether it takes a trained head; the others are formulas over the tokens of one layer.
inline bool IsTrained(Pooling pooling) { return pooling == Pooling::kTrainedLast || pooling == Pooling::kTrainedMulti; }

// A Dense module of sentence-transformers: y = activation(x W^T + b), after the pooling.
struct DenseSpec {
  enum class Activation { kIdentity, kTanh, kRelu, kGelu, kSigmoid };
  std::filesystem::path directory;
  int in_features = 0;
  int out_features = 0;
  bool bias = true;
  Activation activation = Activation::kTanh;
};

struct ModelDescription {
  std::filesystem::path directory;
  std::string name;  // of the directory
  const Architecture* architecture = nullptr;
  ArchSpec arch;
  int max_tokens = 0;      // special tokens included
  bool lowercase = false;  // lower-case texts before tokenizing
  // Of the model, else the mean where tokens see all of their text, and the last token where they only look back.
  Pooling default_pooling = Pooling::kMean;
  bool include_prompt = true;  // whether the prompt's tokens are pooled too
  std::vector<DenseSpec> dense;
  // Whether there is a modules.json: sentence-transformers trained the pooled last layer.
  bool pooled_last_layer_was_trained = false;
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;  // empty: none
};

struct DescriptionOverrides {
  int max_tokens = 0;  // 0: the model's own
  std::optional<Pooling> default_pooling;
  // Attention in both directions, whatever the architecture: the causal mask is removed, windows reach as far to either
  // side (BehnamGhader et al. 2024, "LLM2Vec").
  bool bidirectional = false;
};

// INVALID_ARGUMENT or NOT_FOUND name the file, the key, what was expected and what was found.
absl::StatusOr<ModelDescription> DescribeModel(const std::filesystem::path& directory,
                                               const DescriptionOverrides& overrides = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_DESCRIPTION_H_
