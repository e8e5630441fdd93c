// Transformer::Load: from checked tensors of a checkpoint to the tensors of the model.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/digest.h"
#include "server/base/status.h"
#include "server/models/adapter.h"
#include "server/models/adapter_merge.h"
#include "server/models/device.h"
#include "server/models/tensor_copy.h"
#include "server/models/transformer.h"
#include "server/models/weight_map.h"

namespace midlayer {

namespace {

constexpr int64_t kTokenMultiple = 16;  // of batches for packed weights

// A view of a projection's weight (out, in) or bias (out), rows in our order.
at::Tensor Arranged(const at::Tensor& stored, Layout layout, int64_t heads) {
  switch (layout) {
    case Layout::kPlain:
      return stored;
    case Layout::kTransposed:
      return stored.dim() == 2 ? stored.t() : stored;
    case Layout::kByHead:
      return stored.unflatten(0, {heads, 3, -1}).transpose(0, 1).flatten(0, 2);
  }
  return stored;
}

}  // namespace

// Copies and hashes one part after the other. Errors are sticky: the first is kept, and undefined tensors come back.
class Transformer::Loader {
 public:
  Loader(const ArchSpec& arch, const BoundWeights& bound, const std::vector<BoundDeltas>& deltas,
         const WeightFiles& files, const Options& options)
      : arch_(arch), bound_(bound), deltas_(deltas), files_(files), options_(options) {}

  at::Tensor Table(Slot slot) { return Take({slot}, options_.dtype); }

  Norm OneNorm(Slot slot, int layer = 0) {
    const at::ScalarType residual = options_.pure_low_precision ? options_.dtype : at::kFloat;
    const at::ScalarType own = arch_.norm == NormKind::kLayer ? residual : at::kFloat;
    Norm norm{.kind = arch_.norm,
              .weight = Take({slot, false, layer}, own),
              .bias = Take({slot, true, layer}, own),
              .epsilon = arch_.norm_epsilon,
              .dtype = residual};
    if (arch_.norm == NormKind::kRmsPlusOne && norm.weight.defined()) norm.weight += 1;
    return norm;
  }

  Linear OneLinear(Slot slot, int layer) { return Stacked({slot}, layer); }

  // Queries, keys and values, one below the other.
  Linear Qkv(int layer) {
    if (Has(Slot::kQkv, layer)) return OneLinear(Slot::kQkv, layer);
    return Stacked({Slot::kQuery, Slot::kKey, Slot::kValue}, layer);
  }

  // The first projection of the MLP; of gated ones what is activated above what it is multiplied by.
  Linear Up(int layer) {
    if (Has(Slot::kMlpGateUp, layer)) return OneLinear(Slot::kMlpGateUp, layer);
    if (arch_.gated_mlp) return Stacked({Slot::kMlpGate, Slot::kMlpUp}, layer);
    return OneLinear(Slot::kMlpUp, layer);
  }

  MambaMixer Mamba(int layer) {
    MambaMixer mamba{.in_proj = OneLinear(Slot::kMambaIn, layer),
                     .conv_weight = Take({Slot::kMambaConv, false, layer}, at::kFloat),
                     .conv_bias = Take({Slot::kMambaConv, true, layer}, at::kFloat),
                     .x_proj = OneLinear(Slot::kMambaX, layer),
                     .dt_proj = OneLinear(Slot::kMambaTimeStep, layer),
                     .a = Take({Slot::kMambaALog, false, layer}, at::kFloat),
                     .d = Take({Slot::kMambaD, false, layer}, at::kFloat),
                     .out_proj = OneLinear(Slot::kMambaOut, layer),
                     .activation = arch_.activation,
                     .time_step_rank = arch_.mamba.time_step_rank,
                     .state_size = arch_.mamba.state};
    if (mamba.a.defined()) mamba.a = -mamba.a.exp();  // what is stored is log(-a)
    return mamba;
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
  bool Has(Slot slot, int layer) const { return bound_.contains({slot, false, layer}); }

  // Projections of one input, one below the other.
  Linear Stacked(std::initializer_list<Slot> slots, int layer) {
    Linear linear{Stack(slots, /*bias=*/false, layer), Stack(slots, /*bias=*/true, layer)};
    if (!status_.ok() || !linear.weight.defined()) return linear;
    status_ = CatchTorch([&] {
      if (options_.int8) {
        linear = Quantized(linear);
      } else if (options_.fast_paths.packed_linear && CanPack(linear.weight)) {
        linear = Packed(std::move(linear));
      }
    });
    return linear;
  }
  // Each part is copied to its place: nothing is held twice.
  at::Tensor Stack(std::initializer_list<Slot> slots, bool bias, int layer) {
    if (slots.size() == 1) return Take({*slots.begin(), bias, layer}, options_.dtype);
    std::vector<int64_t> shape;
    for (const Slot slot : slots) {
      const auto found = bound_.find({slot, bias, layer});
      if (found == bound_.end()) return at::Tensor();
      const std::vector<int64_t>& part = found->second.view->shape;
      if (shape.empty()) shape = {0, part.back()};
      shape[0] += part.front();
    }
    if (bias) shape.pop_back();
    at::Tensor stacked;
    status_.Update(
        CatchTorch([&] { stacked = at::empty(shape, at::TensorOptions(options_.device).dtype(options_.dtype)); }));
    int64_t row = 0;
    for (const Slot slot : slots) {
      WithStored({slot, bias, layer}, [&](const at::Tensor& stored) {
        stacked.narrow(0, row, stored.size(0)).copy_(stored);
        row += stored.size(0);
      });
    }
    return stacked;
  }

  // A copy on the device; undefined for a part that this architecture has not.
  at::Tensor Take(const Param& param, at::ScalarType dtype) {
    at::Tensor copy;
    WithStored(param, [&](const at::Tensor& stored) {
      copy = stored.to(at::TensorOptions(options_.device).dtype(dtype), /*non_blocking=*/false, /*copy=*/true,
                       at::MemoryFormat::Contiguous);
    });
    return copy;
  }

  // Hashes a part and shows it with what adapters add and its rows in our order; for the call only, after which its
  // pages are given back. Not called for a part that this architecture has not.
  void WithStored(const Param& param, absl::FunctionRef<void(const at::Tensor& stored)> use) {
    const auto found = bound_.find(param);
    if (found == bound_.end() || !status_.ok()) return;
    const auto& [name, view, layout] = found->second;
    HashTensor(absl::StrCat(static_cast<int>(param.slot), param.bias ? "b" : "w"), *view, digest_);
    status_ = [&]() -> absl::Status {
      MIDLAYER_ASSIGN_OR_RETURN(at::Tensor stored, MapTensor(name, *view));
      for (const BoundDeltas& adapter : deltas_) MIDLAYER_RETURN_IF_ERROR(Adapt(adapter, std::string(name), stored));
      return CatchTorch([&] { use(Arranged(stored, layout, arch_.heads)); });
    }();
    files_.Release(*view);
  }

  // Adds what an adapter has for the tensor of that name.
  absl::Status Adapt(const BoundDeltas& adapter, const std::string& name, at::Tensor& stored) {
    const auto found = adapter.find(name);
    if (found == adapter.end()) return absl::OkStatus();
    const LoraDelta& delta = found->second;
    MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor a, MapTensor(name, delta.a));
    MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor b, MapTensor(name, delta.b));
    return CatchTorch([&] { stored = MergeLora(stored, a, b, delta.scale, delta.fan_in_fan_out); });
  }

  const ArchSpec& arch_;
  const BoundWeights& bound_;
  const std::vector<BoundDeltas>& deltas_;  // of the adapters, in order
  const WeightFiles& files_;
  const Options& options_;
  Sha256 digest_;
  absl::Status status_;
};

namespace {

struct OpenedAdapters {
  std::vector<Adapter> adapters;
  std::vector<BoundDeltas> deltas;  // of each; they point into it
  std::vector<std::string> notes;
};

absl::StatusOr<OpenedAdapters> OpenAdapters(const ModelDescription& model, const WeightFiles& weights,
                                            const std::vector<std::string>& directories) {
  OpenedAdapters opened;
  for (const std::string& directory : directories) {
    MIDLAYER_ASSIGN_OR_RETURN(Adapter adapter, Adapter::Open(directory));
    MIDLAYER_ASSIGN_OR_RETURN(BoundDeltas deltas, adapter.Bind(model.architecture->weight_map(), weights.tensors()));
    if (std::string note = adapter.NoteOnBase(model.name); !note.empty()) opened.notes.push_back(std::move(note));
    opened.adapters.push_back(std::move(adapter));
    opened.deltas.push_back(std::move(deltas));
  }
  return opened;
}

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

void Transformer::KeepRopes(int64_t max_tokens) {
  constexpr int64_t kMost = 1 << 15;  // 16 MiB for heads of 128
  rope_tokens_ = std::min(max_tokens, kMost);
  for (const RopeSpec& rope : arch_.ropes) {
    if (rope.scaling == RopeScaling::kDynamic) rope_tokens_ = std::min<int64_t>(rope_tokens_, rope.original_positions);
  }
  for (const RopeSpec& rope : arch_.ropes) ropes_.push_back(MakeRopeTable(rope, {0, rope_tokens_}, device_));
}

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
  auto transformer = std::unique_ptr<Transformer>(new Transformer(arch, options));
  MIDLAYER_ASSIGN_OR_RETURN(const OpenedAdapters adapters, OpenAdapters(model, weights, options.adapters));
  transformer->notes_ = adapters.notes;
  Loader loader(arch, bound, adapters.deltas, weights, options);
  // Into every fingerprint, that of layer 0 too: servers share selections by it, and those of the base are not for
  // others.
  for (const Adapter& adapter : adapters.adapters) loader.digest().Update("adapter " + adapter.Digest());
  for (const DenseSpec& spec : model.dense) {
    MIDLAYER_ASSIGN_OR_RETURN(Linear linear, LoadDense(spec, options, loader.digest()));
    loader.digest().Update(absl::StrCat("dense activation ", static_cast<int>(spec.activation)));
    transformer->dense_.push_back({spec, std::move(linear)});
  }
  transformer->word_embedding_ = loader.Table(Slot::kWordEmbedding);
  transformer->position_embedding_ = loader.Table(Slot::kPositionEmbedding);
  transformer->token_type_embedding_ = loader.Table(Slot::kTokenTypeEmbedding);
  transformer->relative_bias_ = loader.Table(Slot::kRelativeBias);
  transformer->embedding_norm_ = loader.OneNorm(Slot::kEmbeddingNorm);
  transformer->final_norm_ = loader.OneNorm(Slot::kFinalNorm);
  transformer->fingerprints_.push_back(loader.Chain(base_digest));
  MIDLAYER_RETURN_IF_ERROR(loader.status());
  const int enough = options.enough_layers ? options.enough_layers(transformer->fingerprints_[0]) : -1;
  const int last = enough < 0 ? max_layer : std::min(max_layer, enough);
  for (int layer = 1; layer <= last && loader.status().ok(); ++layer) {
    transformer->blocks_.push_back({.attention_norm = loader.OneNorm(Slot::kAttentionNorm, layer),
                                    .qkv = loader.Qkv(layer),
                                    .query_norm = loader.OneNorm(Slot::kQueryNorm, layer),
                                    .key_norm = loader.OneNorm(Slot::kKeyNorm, layer),
                                    .attention_out = loader.OneLinear(Slot::kAttentionOut, layer),
                                    .post_attention_norm = loader.OneNorm(Slot::kPostAttentionNorm, layer),
                                    .mlp_norm = loader.OneNorm(Slot::kMlpNorm, layer),
                                    .up = loader.Up(layer),
                                    .down = loader.OneLinear(Slot::kMlpDown, layer),
                                    .post_mlp_norm = loader.OneNorm(Slot::kPostMlpNorm, layer),
                                    .mamba = loader.Mamba(layer)});
    transformer->fingerprints_.push_back(loader.Chain(transformer->fingerprints_.back()));
  }
  MIDLAYER_RETURN_IF_ERROR(loader.status());
  if (!transformer->blocks_.empty() && transformer->blocks_[0].attention_out.IsPacked()) {
    transformer->token_multiple_ = kTokenMultiple;
  }
  MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] { transformer->KeepRopes(model.max_tokens); }));
  return transformer;
}

}  // namespace midlayer
