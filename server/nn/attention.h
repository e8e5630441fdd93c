// Attention over packed tokens. Thread-safe; exceptions of libtorch pass through.
//
// Dimensions: P packed tokens, N heads, K heads of keys and values, H head size, T tokens of a row.
#ifndef MIDLAYER_SERVER_NN_ATTENTION_H_
#define MIDLAYER_SERVER_NN_ATTENTION_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <utility>

#include "absl/types/span.h"
#include "server/nn/functions.h"

namespace midlayer {

// Which keys a token sees, and what is added to its scores.
struct AttentionRule {
  double scale = 1;     // of the scores
  bool causal = false;  // itself and what stands before it, instead of all of its row
  int window = 0;       // token i sees j only if |i - j| < window; 0: no limit
};

// What is added to the attention scores of rows of T tokens. Made when it is first asked for, and kept: one object
// serves the blocks of one pass. Not thread-safe.
class AttentionMasks {
 public:
  // relative_bias: (buckets, N), as for RelativeBias; undefined where there is none.
  explicit AttentionMasks(at::Tensor relative_bias) : relative_bias_(std::move(relative_bias)) {}

  // (1, T, T) or (N, T, T) in the type of `like`, on its device; undefined where nothing is to be added.
  const at::Tensor& For(const AttentionRule& rule, int64_t tokens, const at::Tensor& like);

  // Whether `rule` alone says what is added.
  bool OnlyByRule() const { return !relative_bias_.defined(); }

 private:
  const at::Tensor relative_bias_;
  std::map<std::pair<int64_t, int>, at::Tensor> masks_;  // by tokens and window
};

// Each token attends to the tokens of its own row that `rule` lets it see. q: (P, N, H); k, v: (P, K, H), where head n
// of the queries uses head n / (N / K). Returns (P, N H). On a GPU with bfloat16 or float16 all rows go in one call of
// FlashAttention (Dao 2023) where it takes the head size. `own_kernel`: on a CPU with float32 or bfloat16 that of
// attention_kernel.h, row by row. Else one call of libtorch for each group of rows. Tokens behind the last row get 0.
at::Tensor PackedAttention(const at::Tensor& q_PNH, const at::Tensor& k_PKH, const at::Tensor& v_PKH,
                           const PackedRows& rows, const AttentionRule& rule, AttentionMasks& masks, bool own_kernel);

// T5's relative position bias as MPNet uses it (bidirectional, 32 buckets, distances up to 128).
// table: (buckets, N). Returns (N, T, T).
at::Tensor RelativeBias(const at::Tensor& table, int64_t tokens);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ATTENTION_H_
