#include "server/nn/functions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <optional>

namespace midlayer {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x.to(weight.scalar_type()), weight, bias);
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, weight, bias, epsilon);
}

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kSilu:
      return at::silu(x);
  }
  return x;
}

std::vector<RowGroup> GroupRows(absl::Span<const int64_t> offsets) {
  std::vector<RowGroup> groups;
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    const int64_t tokens = offsets[row + 1] - offsets[row];
    if (!groups.empty() && groups.back().tokens == tokens) {
      ++groups.back().rows;
    } else {
      groups.push_back({.first_token = offsets[row], .rows = 1, .tokens = tokens});
    }
  }
  return groups;
}

at::Tensor PackedAttention(const at::Tensor& qkv_PX, absl::Span<const RowGroup> groups, int heads,
                           const BiasByLength& bias) {
  const int64_t hidden = qkv_PX.size(1) / 3;
  at::Tensor out_PD = at::empty({qkv_PX.size(0), hidden}, qkv_PX.options());
  for (const RowGroup& group : groups) {
    const int64_t count = group.rows * group.tokens;
    const at::Tensor qkv = qkv_PX.narrow(0, group.first_token, count)
                               .view({group.rows, group.tokens, 3, heads, hidden / heads})
                               .permute({2, 0, 3, 1, 4});  // (3, rows, N, T, H)
    std::optional<at::Tensor> mask;
    if (!bias.empty()) mask = bias.at(group.tokens).unsqueeze(0);                               // (1, N, T, T)
    const at::Tensor context = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask);  // (rows, N, T, H)
    out_PD.narrow(0, group.first_token, count)
        .view({group.rows, group.tokens, heads, hidden / heads})
        .copy_(context.transpose(1, 2));
  }
  return out_PD;
}

at::Tensor RelativeBias(const at::Tensor& table, int64_t tokens) {
  constexpr int64_t kHalf = 16;      // half of the 32 buckets for each direction
  constexpr int64_t kExact = 8;      // distances below have a bucket each
  constexpr double kFarthest = 128;  // distances from here on share the last one
  const at::Tensor at_T = at::arange(tokens, table.options().dtype(at::kLong));
  const at::Tensor distance = at_T.unsqueeze(1) - at_T.unsqueeze(0);  // (T, T), query less key
  const at::Tensor length = at::abs(distance);
  at::Tensor far =
      kExact +
      (at::log(length.to(at::kFloat) / kExact) / std::log(kFarthest / kExact) * (kHalf - kExact)).to(at::kLong);
  far = at::minimum(far, at::full_like(far, kHalf - 1));
  const at::Tensor bucket = (distance < 0).to(at::kLong) * kHalf + at::where(length < kExact, length, far);
  return at::embedding(table, bucket).permute({2, 0, 1}).contiguous();  // (N, T, T)
}

}  // namespace midlayer
