// The arithmetic of transformer blocks as free functions over packed tokens: the tokens of all rows of a batch stand
// one after the other, without padding. Thread-safe; exceptions of libtorch pass through.
//
// Dimensions: P packed tokens, D hidden, N heads, H head size, T tokens of a row.
#ifndef MIDLAYER_SERVER_NN_FUNCTIONS_H_
#define MIDLAYER_SERVER_NN_FUNCTIONS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "absl/types/span.h"
#include "server/nn/activation.h"

namespace midlayer {

// y = x W^T + b, in W's dtype. weight: (out, in).
struct Linear {
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor operator()(const at::Tensor& x) const;
};

// Layer norm over the last dimension, in float32.
struct LayerNorm {
  at::Tensor weight;  // (D)
  at::Tensor bias;    // (D)
  double epsilon = 0;
  at::Tensor operator()(const at::Tensor& x) const;
};

at::Tensor Activate(Activation activation, const at::Tensor& x);

// Neighbouring rows of the same length: their attention is one call.
struct RowGroup {
  int64_t first_token = 0;
  int64_t rows = 0;
  int64_t tokens = 0;  // T, of each row
};

// Groups the rows whose tokens start at offsets[0], offsets[1], …; the last offset is P.
std::vector<RowGroup> GroupRows(absl::Span<const int64_t> offsets);

// What is added to the attention scores of rows of T tokens: T -> (N, T, T). Empty: nothing.
using BiasByLength = std::map<int64_t, at::Tensor>;

// Each token attends to all tokens of its own row. qkv: (P, 3 D), a token's query, key and value one after the other.
// Returns (P, D).
at::Tensor PackedAttention(const at::Tensor& qkv_PX, absl::Span<const RowGroup> groups, int heads,
                           const BiasByLength& bias);

// T5's relative position bias as MPNet uses it (bidirectional, 32 buckets, distances up to 128).
// table: (buckets, N). Returns (N, T, T).
at::Tensor RelativeBias(const at::Tensor& table, int64_t tokens);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_FUNCTIONS_H_
