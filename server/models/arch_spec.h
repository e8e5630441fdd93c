// Architecture as data: everything about a model's structure that changes what it computes, as plain enums and numbers.
// No torch here; models/transformer.h turns it into tensors and arithmetic.
#ifndef MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_
#define MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_

#include <string>
#include <vector>

#include "server/nn/activation.h"
#include "server/nn/norm_kind.h"
#include "server/nn/rope_spec.h"

namespace midlayer {

// What mixes the tokens of a block.
enum class Mixer { kAttention, kMamba };

// Which tokens a token attends to: all of its text, or itself and those before it.
enum class AttentionDirection { kBidirectional, kCausal };
const char* AttentionDirectionName(AttentionDirection direction);  // "bidirectional", "causal"

// How a block's norms and residual sums are arranged; A: attention (or another mixer), M: MLP, n: a norm.
enum class BlockForm {
  kPostNorm,        // y = n(x + A(x)), n(y + M(y)): BERT
  kPreNorm,         // y = x + A(n(x)), y + M(n(y)): GPT-2, Llama
  kParallel,        // x + A(n(x)) + M(n(x)), each with its own norm: GPT-NeoX
  kParallelShared,  // the same with one norm for both: GPT-J
  kSandwich,        // y = x + n(A(n(x))), y + n(M(n(y))): Gemma
};

// How a token's row in the position table is found. kNone: there is no table. kCount: 0, 1, 2, …. kAfterPadding: as
// RoBERTa does, padding_id + 1, padding_id + 2, … over the tokens that are not the padding token; a padding token
// inside a text gets padding_id.
enum class PositionRule { kNone, kCount, kAfterPadding };

// The attention of one block.
struct AttentionSpec {
  int window = 0;    // token i attends to j only if |i - j| < window; 0: no limit
  int rope = -1;     // which of ArchSpec::ropes turns queries and keys; -1: none
  double scale = 0;  // of the scores
  bool operator==(const AttentionSpec&) const = default;
};

// The sizes of Mamba blocks (Gu, Dao 2023).
struct MambaSpec {
  int inner = 0;           // I, channels
  int state = 0;           // S, numbers kept for each channel
  int conv_kernel = 0;     // tokens that the convolution sees
  int time_step_rank = 0;  // R
  bool bias = false;       // of the projections in and out
  bool conv_bias = false;
};

struct ArchSpec {
  std::string model_type;
  Mixer mixer = Mixer::kAttention;
  int layers = 0;        // L
  int hidden = 0;        // D
  int heads = 0;         // N
  int kv_heads = 0;      // K, dividing N: heads of keys and values
  int head_size = 0;     // H
  int intermediate = 0;  // width of the MLP
  int vocabulary = 0;
  int positions = 0;    // rows of the position table; without one, the longest text
  int token_types = 0;  // rows of the token type table, 0 where there is none; every token has type 0
  double embedding_scale = 1;
  bool embedding_norm = false;
  NormKind norm = NormKind::kLayer;
  double norm_epsilon = 0;
  bool norm_bias = true;  // of kLayer
  BlockForm block_form = BlockForm::kPostNorm;
  bool first_attention_norm = true;  // false: block 1 has none, its input is normed already (ModernBERT)
  bool final_norm = false;
  bool qk_norm = false;  // queries and keys are normed head by head, before they are turned
  bool qkv_bias = true;
  bool attention_out_bias = true;
  bool mlp_bias = true;
  bool gated_mlp = false;  // down(activation(gate(x)) * up(x)) instead of down(activation(up(x)))
  Activation activation = Activation::kGelu;
  AttentionDirection direction = AttentionDirection::kBidirectional;
  PositionRule position_rule = PositionRule::kCount;
  int padding_id = 0;
  int relative_buckets = 0;  // MPNet's relative position bias, shared by all blocks; 0: none
  std::vector<RopeSpec> ropes;
  std::vector<AttentionSpec> attention;  // L of them, block by block; none for other mixers
  MambaSpec mamba;

  int query_features() const { return heads * head_size; }
  int key_features() const { return kv_heads * head_size; }
  // The longest text, special tokens included, that the positions allow.
  int max_tokens() const {
    return position_rule == PositionRule::kAfterPadding ? positions - padding_id - 1 : positions;
  }
  // One line with every field, for the fingerprint.
  std::string Canonical() const;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_
