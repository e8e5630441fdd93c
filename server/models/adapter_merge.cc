#include "server/models/adapter_merge.h"

#include <ATen/ops/mm.h>

namespace midlayer {

at::Tensor MergeLora(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale,
                     bool fan_in_fan_out) {
  at::Tensor delta = at::mm(b.to(at::kFloat), a.to(at::kFloat)).mul_(scale);  // (out, in)
  if (fan_in_fan_out) delta = delta.t().contiguous();
  return delta.add_(weight.to(at::kFloat));
}

}  // namespace midlayer
