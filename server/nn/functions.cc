#include "server/nn/functions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>

namespace midlayer {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x.to(weight.scalar_type()), weight, bias);
}

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (kind == NormKind::kLayer) return at::layer_norm(x.to(dtype), {x.size(-1)}, weight, bias, epsilon);
  const at::Tensor wide = x.to(at::kFloat);
  return (wide * at::rsqrt(at::mean(wide.square(), -1, /*keepdim=*/true) + epsilon) * weight).to(dtype);
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

}  // namespace midlayer
