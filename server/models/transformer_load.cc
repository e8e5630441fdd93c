// Transformer::Load: from checked tensors of a checkpoint to the tensors of the model.
#include <ATen/ops/empty.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/digest.h"
#include "server/base/status.h"
#include "server/models/tensor_copy.h"
#include "server/models/transformer.h"
#include "server/models/weight_map.h"

namespace midlayer {

// Copies and hashes one part after the other. Errors are sticky: the first is kept, and undefined tensors come back.
class Transformer::Loader {
 public:
  Loader(const BoundWeights& bound, const WeightFiles& files, const Options& options)
      : bound_(bound), files_(files), options_(options) {}

  at::Tensor Table(Slot slot) { return Take({slot}, options_.dtype); }

  LayerNorm Norm(Slot slot, double epsilon, int layer = 0) {
    return {Take({slot, false, layer}, at::kFloat), Take({slot, true, layer}, at::kFloat), epsilon};
  }

  Linear OneLinear(Slot slot, int layer) {
    return {Take({slot, false, layer}, options_.dtype), Take({slot, true, layer}, options_.dtype)};
  }

  // Query, key and value, one below the other.
  Linear Qkv(int layer, int64_t hidden) {
    const auto options = at::TensorOptions(options_.device).dtype(options_.dtype);
    Linear qkv{at::empty({3 * hidden, hidden}, options), at::empty({3 * hidden}, options)};
    int64_t row = 0;
    for (Slot slot : {Slot::kQuery, Slot::kKey, Slot::kValue}) {
      const Linear part = OneLinear(slot, layer);
      if (!status_.ok()) return qkv;
      qkv.weight.narrow(0, row, hidden).copy_(part.weight);
      qkv.bias.narrow(0, row, hidden).copy_(part.bias);
      row += hidden;
    }
    return qkv;
  }

  // SHA-256 of what was taken since the last call, after `before`.
  std::string Chain(const std::string& before) {
    digest_.Update(before);
    const std::string hash = digest_.Finish();
    digest_ = Sha256();
    return hash;
  }

  Sha256& digest() { return digest_; }
  const absl::Status& status() const { return status_; }

 private:
  at::Tensor Take(const Param& param, at::ScalarType dtype) {
    const auto found = bound_.find(param);
    if (found == bound_.end() || !status_.ok()) return at::Tensor();  // a part that this architecture has not
    const auto& [name, view] = *found->second;
    HashTensor(absl::StrCat(static_cast<int>(param.slot), param.bias ? "b" : "w"), view, digest_);
    absl::StatusOr<at::Tensor> copy = CopyTensor(name, view, options_.device, dtype);
    files_.Release(view);
    if (!copy.ok()) {
      status_ = copy.status();
      return at::Tensor();
    }
    return *std::move(copy);
  }

  const BoundWeights& bound_;
  const WeightFiles& files_;
  const Options& options_;
  Sha256 digest_;
  absl::Status status_;
};

namespace {

// linear.weight and linear.bias of a Dense module.
absl::StatusOr<Linear> LoadDense(const DenseSpec& spec, const Transformer::Options& options, Sha256& digest) {
  MIDLAYER_ASSIGN_OR_RETURN(const WeightFiles files, WeightFiles::Open(spec.directory));
  Linear linear;
  for (const auto& [name, view] : files.tensors()) {
    const bool is_bias = name == "linear.bias" && spec.bias;
    const std::vector<int64_t> expected =
        is_bias ? std::vector<int64_t>{spec.out_features} : std::vector<int64_t>{spec.out_features, spec.in_features};
    if ((!is_bias && name != "linear.weight") || view.shape != expected) {
      return absl::InvalidArgumentError(absl::StrCat(
          view.file, ": tensor ", name, ": expected linear.weight [", spec.out_features, ", ", spec.in_features,
          "] and, with bias, linear.bias [", spec.out_features, "], found [", absl::StrJoin(view.shape, ", "), "]"));
    }
    HashTensor(name, view, digest);
    MIDLAYER_ASSIGN_OR_RETURN((is_bias ? linear.bias : linear.weight),
                              CopyTensor(name, view, options.device, at::kFloat));
  }
  if (!linear.weight.defined() || linear.bias.defined() != spec.bias) {
    return absl::InvalidArgumentError(absl::StrCat(spec.directory.string(), ": expected tensors linear.weight",
                                                   spec.bias ? " and linear.bias" : "", ", found ",
                                                   files.tensors().size(), " tensors"));
  }
  return linear;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Load(const ModelDescription& model,
                                                               const WeightFiles& weights, const Options& options,
                                                               const std::string& base_digest) {
  const ArchSpec& arch = model.arch;
  const int max_layer = options.max_layer < 0 ? arch.layers : options.max_layer;
  if (max_layer > arch.layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-layer: expected 0 to ", arch.layers, " (blocks of the model), found ", max_layer));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const BoundWeights bound,
                            Bind(model.architecture->weight_map(), arch, weights.tensors(), max_layer));
  auto transformer = std::unique_ptr<Transformer>(new Transformer(arch, options.device));
  Loader loader(bound, weights, options);
  for (const DenseSpec& spec : model.dense) {
    MIDLAYER_ASSIGN_OR_RETURN(Linear linear, LoadDense(spec, options, loader.digest()));
    loader.digest().Update(absl::StrCat("dense activation ", static_cast<int>(spec.activation)));
    transformer->dense_.push_back({spec, std::move(linear)});
  }
  transformer->word_embedding_ = loader.Table(Slot::kWordEmbedding);
  transformer->position_embedding_ = loader.Table(Slot::kPositionEmbedding);
  transformer->token_type_embedding_ = loader.Table(Slot::kTokenTypeEmbedding);
  transformer->relative_bias_ = loader.Table(Slot::kRelativeBias);
  transformer->embedding_norm_ = loader.Norm(Slot::kEmbeddingNorm, arch.norm_epsilon);
  transformer->final_norm_ = loader.Norm(Slot::kFinalNorm, arch.norm_epsilon);
  transformer->fingerprints_.push_back(loader.Chain(base_digest));
  for (int layer = 1; layer <= max_layer && loader.status().ok(); ++layer) {
    transformer->blocks_.push_back({.qkv = loader.Qkv(layer, arch.hidden),
                                    .attention_out = loader.OneLinear(Slot::kAttentionOut, layer),
                                    .attention_norm = loader.Norm(Slot::kAttentionNorm, arch.norm_epsilon, layer),
                                    .up = loader.OneLinear(Slot::kMlpUp, layer),
                                    .down = loader.OneLinear(Slot::kMlpDown, layer),
                                    .mlp_norm = loader.Norm(Slot::kMlpNorm, arch.norm_epsilon, layer)});
    transformer->fingerprints_.push_back(loader.Chain(transformer->fingerprints_.back()));
  }
  MIDLAYER_RETURN_IF_ERROR(loader.status());
  return transformer;
}

}  // namespace midlayer
