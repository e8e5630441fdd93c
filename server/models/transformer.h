// A loaded model, and the one forward primitive that everything uses.
#ifndef MIDLAYER_SERVER_MODELS_TRANSFORMER_H_
#define MIDLAYER_SERVER_MODELS_TRANSFORMER_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "server/models/description.h"
#include "server/models/packed_tokens.h"
#include "server/nn/fast_paths.h"
#include "server/nn/functions.h"
#include "server/nn/rope.h"
#include "server/nn/ssm.h"
#include "server/weights/weight_files.h"

namespace midlayer {

// A transformer up to block max_layer. Weights of matrix products and tables are kept in `dtype`; the residual stream,
// norms and what is added to them are float32, or `dtype` too where low precision is pure.
//
// Thread-safety: const methods may be called from any number of threads. Exceptions of libtorch pass through: call them
// inside CatchTorch() and under c10::InferenceMode.
class Transformer {
 public:
  struct Options {
    int max_layer = -1;  // -1: all
    at::Device device = at::kCPU;
    at::ScalarType dtype = at::kFloat;
    bool pure_low_precision = false;  // the residual stream and norms are in `dtype` too
    bool int8 = false;                // weights of matrix products are in int8, see Quantized(); `dtype` is float32
    FastPaths fast_paths;
    // Directories of LoRA adapters, merged into the weights one after the other.
    std::vector<std::string> adapters;
    // Asked with the fingerprint of layer 0 when that is loaded: blocks above what it returns are not; -1 for no limit.
    // May be empty.
    std::function<int(const std::string& fingerprint)> enough_layers;
  };

  // Copies the weights up to max_layer, one tensor at a time; pages of tensors above are never read. `base_digest` is
  // hashed into all fingerprints: what else changes a vector. INVALID_ARGUMENT names file, tensor, expected and found.
  static absl::StatusOr<std::unique_ptr<Transformer>> Load(const ModelDescription& model, const WeightFiles& weights,
                                                           const Options& options, const std::string& base_digest);

  // Called after each layer 0…last with the states (P', D) of the rows that are computed up to that layer: the first
  // batch.RowsAt(layer) ones. float32, or `dtype` where low precision is pure. The tensor may be kept or read during
  // the call only. False ends the pass.
  using Tap = absl::FunctionRef<bool(int layer, const at::Tensor& states_PD)>;

  // Runs `batch` and stops after its deepest layer (at most max_layer()). Layer 0 is the embedding output, layer ℓ the
  // output of block ℓ, the last layer L that after the final norm: hidden_states[ℓ] of transformers.
  void Run(const PackedTokens& batch, Tap tap) const;

  // One pass over a few tokens: libraries set themselves up on first use, some of them for each thread.
  void WarmUp() const;

  // The final norm on the states of a layer below L; without one, and at L, the states as they are.
  at::Tensor Normed(int layer, const at::Tensor& states_PD) const;
  // The Dense modules of sentence-transformers, (B, D) -> (B, dense_features()). Only where there are any.
  at::Tensor Dense(at::Tensor pooled_BD) const;

  const ArchSpec& arch() const { return arch_; }
  int max_layer() const { return static_cast<int>(blocks_.size()); }
  at::Device device() const { return device_; }
  int dense_features() const { return dense_.empty() ? 0 : dense_.back().spec.out_features; }
  // For each layer 0…max_layer(): SHA-256 of everything that changes its vectors.
  const std::vector<std::string>& fingerprints() const { return fingerprints_; }
  // What a person may want to know about how it was loaded.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // Norms that the architecture has not stay undefined.
  struct Block {
    Norm attention_norm;
    Linear qkv;  // queries, keys and values in one: ((N + 2 K) H, D)
    Norm query_norm, key_norm;
    Linear attention_out;
    Norm post_attention_norm;
    Norm mlp_norm;
    Linear up;  // (I, D); of gated MLPs what is activated and what it is multiplied by in one: (2 I, D)
    Linear down;
    Norm post_mlp_norm;
    MambaMixer mamba;  // behind attention_norm, instead of everything else
  };
  // A batch on the device. Its P may be more than the batch has: what follows its last token is computed and not used.
  struct Inputs {
    at::Tensor ids_P;        // int32
    at::Tensor positions_P;  // int32: the row of the position table; where there is none, the place in the text
    at::Tensor starts;       // int32, (B + 1): the first token of every row, and P
  };
  // What the blocks of one pass share.
  struct Pass;
  struct DenseModule {
    DenseSpec spec;
    Linear linear;
  };
  class Loader;

  Transformer(const ArchSpec& arch, const Options& options)
      : arch_(arch),
        device_(options.device),
        dtype_(options.dtype),
        residual_dtype_(options.pure_low_precision ? options.dtype : at::kFloat),
        fast_paths_(options.fast_paths) {}

  void KeepRopes(int64_t max_tokens);
  Inputs Stage(const PackedTokens& batch) const;
  std::vector<RopeTable> RopesFor(const PackedTokens& batch, const Inputs& inputs) const;
  Stream Embed(const Inputs& inputs) const;
  Stream RunBlock(int layer, const Stream& x, Pass& pass) const;
  at::Tensor Attend(int layer, const at::Tensor& x_PD, Pass& pass) const;  // (P, N H), before attention_out
  Stream AddNormed(const Norm& norm, NormPlace place, const at::Tensor& x_PD, const at::Tensor& added_PD) const;
  // What linear layers behind a norm of the residual stream read.
  at::Tensor InputOf(const Norm& norm, const at::Tensor& x_PD) const;
  at::Tensor Widen(const Block& block, const at::Tensor& x_PD) const;  // (P, I), before down

  // Constant after Load().
  const ArchSpec arch_;
  const at::Device device_;
  const at::ScalarType dtype_;
  const at::ScalarType residual_dtype_;
  const FastPaths fast_paths_;
  int64_t token_multiple_ = 1;  // numbers of tokens that blocks run on are rounded up to one
  at::Tensor word_embedding_;   // (vocabulary, D)
  // Undefined where the architecture has none.
  at::Tensor position_embedding_;    // (positions, D)
  at::Tensor token_type_embedding_;  // (token types, D)
  Norm embedding_norm_;
  at::Tensor relative_bias_;  // (buckets, N)
  Norm final_norm_;
  // For each of the architecture's ropes, texts of up to rope_tokens_ tokens. Longer ones are made when they are met.
  std::vector<RopeTable> ropes_;
  int64_t rope_tokens_ = 0;
  std::vector<Block> blocks_;
  std::vector<DenseModule> dense_;
  std::vector<std::string> fingerprints_;
  std::vector<std::string> notes_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_TRANSFORMER_H_
