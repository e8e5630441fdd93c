// The arithmetic of transformer blocks as free functions over packed tokens: the tokens of all rows of a batch stand
// one after the other, without padding. Thread-safe; exceptions of libtorch pass through.
#ifndef MIDLAYER_SERVER_NN_FUNCTIONS_H_
#define MIDLAYER_SERVER_NN_FUNCTIONS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "server/nn/linear.h"
#include "server/nn/norm_kind.h"

namespace midlayer {

// Over the last dimension. kLayer: (x - mean) / sqrt(variance + epsilon) * weight + bias.
// kRms (Zhang, Sennrich 2019, "Root mean square layer normalization"): x / sqrt(mean of x^2 + epsilon) * weight.
struct Norm {
  NormKind kind = NormKind::kLayer;
  at::Tensor weight;  // of kRmsPlusOne too what is multiplied: the 1 was added when it was loaded
  at::Tensor bias;    // undefined where there is none
  double epsilon = 0;
  // Of the result. What is computed in it: kLayer, whose weight and bias have this type too; others in float32.
  at::ScalarType dtype = at::kFloat;
  at::Tensor operator()(const at::Tensor& x) const;
};

// What one block leaves to the next, (P, D) each.
struct Stream {
  at::Tensor residual;  // what blocks add to
  at::Tensor input;     // the same for its linear layers, where they read it as it is; else undefined
};

enum class NormPlace { kPre, kPost };

// x + added (undefined: nothing) and its norm, where the residual stream is the sum (kPre) or the norm (kPost), and the
// input in `dtype` the norm. With `own_kernel`, on a CPU and for a residual stream in float32, by norm_kernel.h.
Stream AddAndNorm(const Norm& norm, NormPlace place, const at::Tensor& x, const at::Tensor& added, at::ScalarType dtype,
                  bool own_kernel);

// Neighbouring rows of the same length: their attention is one call.
struct RowGroup {
  int64_t first_token = 0;
  int64_t rows = 0;
  int64_t tokens = 0;  // T, of each row
};

// The first token behind it.
inline int64_t EndOf(const RowGroup& group) { return group.first_token + group.rows * group.tokens; }

// The rows of a batch that are still computed.
struct PackedRows {
  std::vector<RowGroup> groups;
  int64_t longest = 0;  // T of the longest
  at::Tensor starts;    // (B + 1), int32, on the device: the first token of each row, and their end
};

// Groups the rows whose tokens start at offsets[0], offsets[1], …; the last offset is P.
std::vector<RowGroup> GroupRows(absl::Span<const int64_t> offsets);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_FUNCTIONS_H_
