#include "server/nn/functions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>

namespace midlayer {

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (kind == NormKind::kLayer) return at::layer_norm(x.to(dtype), {x.size(-1)}, weight, bias, epsilon);
  const at::Tensor wide = x.to(at::kFloat);
  return (wide * at::rsqrt(at::mean(wide.square(), -1, /*keepdim=*/true) + epsilon) * weight).to(dtype);
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
