// Architecture as data: everything about a model's structure that changes what it computes, as plain enums and numbers.
// No torch here; models/transformer.h turns it into tensors and arithmetic.
#ifndef MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_
#define MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_

#include <string>

#include "server/nn/activation.h"

namespace midlayer {

// Where a block's norms stand: after the residual sum (BERT), or before each sub-block (GPT, RoBERTa-PreLayerNorm).
enum class NormPlace { kPost, kPre };

// How a token's row in the position table is found. kCount: 0, 1, 2, …. kAfterPadding: as RoBERTa does, padding_id + 1,
// padding_id + 2, … over the tokens that are not the padding token; a padding token inside a text gets padding_id.
enum class PositionRule { kCount, kAfterPadding };

struct ArchSpec {
  std::string model_type;
  int layers = 0;        // L
  int hidden = 0;        // D
  int heads = 0;         // N
  int intermediate = 0;  // width of the MLP
  int vocabulary = 0;
  int positions = 0;    // rows of the position table
  int token_types = 0;  // rows of the token type table, 0 where there is none; every token has type 0
  double norm_epsilon = 0;
  NormPlace norm_place = NormPlace::kPost;
  bool final_norm = false;
  Activation activation = Activation::kGelu;
  PositionRule position_rule = PositionRule::kCount;
  int padding_id = 0;
  int relative_buckets = 0;  // MPNet's relative position bias, shared by all blocks; 0: none

  int head_size() const { return hidden / heads; }  // H
  // The longest text, special tokens included, that the position table allows.
  int max_tokens() const {
    return position_rule == PositionRule::kAfterPadding ? positions - padding_id - 1 : positions;
  }
  // One line with every field, for the fingerprint.
  std::string Canonical() const;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_ARCH_SPEC_H_
