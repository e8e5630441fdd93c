#include "server/nn/functions.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>

#include "server/nn/norm_kernel.h"

namespace midlayer {

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (kind == NormKind::kLayer) return at::layer_norm(x.to(dtype), {x.size(-1)}, weight, bias, epsilon);
  const at::Tensor wide = x.to(at::kFloat);
  return (wide * at::rsqrt(at::mean(wide.square(), -1, /*keepdim=*/true) + epsilon) * weight).to(dtype);
}

namespace {

bool IsFloat(const at::Tensor& x) { return x.scalar_type() == at::kFloat; }
bool IsBFloat16(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; }

bool TakesKernel(const Norm& norm, const at::Tensor& x, const at::Tensor& added, at::ScalarType dtype) {
  return x.is_cpu() && IsFloat(x) && (!added.defined() || IsFloat(added) || IsBFloat16(added)) &&
         norm.dtype == at::kFloat && IsFloat(norm.weight) && (!norm.bias.defined() || IsFloat(norm.bias)) &&
         (dtype == at::kFloat || dtype == at::kBFloat16);
}

// Element: of `added`.
template <typename Value, typename Element>
void RunKernel(const Norm& norm, const at::Tensor& x_PD, const at::Tensor& added_PD, at::Tensor& sum,
               at::Tensor& normed, at::Tensor& normed_bf16) {
  constexpr int64_t kRows = 16;  // not worth another thread below
  const int64_t features = x_PD.size(1);
  const at::Tensor x = x_PD.contiguous();
  const at::Tensor added = added_PD.defined() ? added_PD.contiguous() : added_PD;
  at::parallel_for(0, x.size(0), kRows, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * features;
    const auto floats = [first](at::Tensor& y) { return y.defined() ? y.data_ptr<float>() + first : nullptr; };
    AddAndNorm(NormTask<Element>{
        .x = x.const_data_ptr<float>() + first,
        .added = added.defined() ? reinterpret_cast<const Element*>(added.const_data_ptr<Value>()) + first : nullptr,
        .sum = floats(sum),
        .weight = norm.weight.const_data_ptr<float>(),
        .bias = norm.bias.defined() ? norm.bias.const_data_ptr<float>() : nullptr,
        .normed = floats(normed),
        .normed_bf16 =
            normed_bf16.defined() ? reinterpret_cast<uint16_t*>(normed_bf16.data_ptr<at::BFloat16>()) + first : nullptr,
        .rows = end - begin,
        .features = features,
        .epsilon = static_cast<float>(norm.epsilon),
        .centred = norm.kind == NormKind::kLayer});
  });
}

Stream AddAndNormByKernel(const Norm& norm, NormPlace place, const at::Tensor& x, const at::Tensor& added,
                          at::ScalarType dtype) {
  const bool is_pre = place == NormPlace::kPre;
  at::Tensor sum, normed, normed_bf16;
  if (is_pre && added.defined()) sum = at::empty(x.sizes(), x.options());
  if (!is_pre || dtype == at::kFloat) normed = at::empty(x.sizes(), x.options());
  if (dtype == at::kBFloat16) normed_bf16 = at::empty(x.sizes(), x.options().dtype(dtype));
  if (added.defined() && IsBFloat16(added)) {
    RunKernel<at::BFloat16, uint16_t>(norm, x, added, sum, normed, normed_bf16);
  } else {
    RunKernel<float, float>(norm, x, added, sum, normed, normed_bf16);
  }
  const at::Tensor& residual = is_pre ? (sum.defined() ? sum : x) : normed;
  return {residual, normed_bf16.defined() ? normed_bf16 : normed};
}

}  // namespace

Stream AddAndNorm(const Norm& norm, NormPlace place, const at::Tensor& x, const at::Tensor& added, at::ScalarType dtype,
                  bool own_kernel) {
  if (own_kernel && TakesKernel(norm, x, added, dtype)) return AddAndNormByKernel(norm, place, x, added, dtype);
  const at::Tensor sum = added.defined() ? x + added : x;
  const at::Tensor normed = norm(sum);
  return {place == NormPlace::kPre ? sum : normed, normed.to(dtype)};
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
