#include "server/nn/linear.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/round.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <optional>
#include <string_view>

#include "server/nn/cpu_capabilities.h"
#include "server/nn/quantize_kernel.h"

namespace midlayer {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;

// Tokens of a batch that the layout is chosen for. It serves others as well.
constexpr int64_t kPackedForTokens = 512;

template <typename Function>
auto Operator(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Function>();
}

struct FusedActivation {
  const char* name;
  const char* algorithm;
};

FusedActivation Fused(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return {"gelu", "none"};
    case Activation::kGeluTanh:
      return {"gelu", "tanh"};
    case Activation::kRelu:
      return {"relu", ""};
    case Activation::kSilu:
      return {"swish", ""};
  }
  return {"none", ""};
}

std::optional<at::Tensor> OptionalBias(const Linear& linear) {
  return linear.bias.defined() ? std::optional(linear.bias) : std::nullopt;
}

at::Tensor RunPacked(const Linear& linear, const at::Tensor& x, FusedActivation after) {
  static const auto run =
      Operator<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                          Scalars, std::optional<std::string_view>)>("mkldnn::_linear_pointwise", "");
  return run.call(x.to(linear.weight.scalar_type()), linear.weight, OptionalBias(linear), after.name, Scalars(),
                  after.algorithm);
}

at::Tensor RunPackedAdded(const Linear& linear, const at::Tensor& other, const at::Tensor& x) {
  static const auto run =
      Operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          std::string_view)>("mkldnn::_linear_pointwise", "binary");
  return run.call(x.to(linear.weight.scalar_type()), other, linear.weight, OptionalBias(linear), "add");
}

at::Tensor RunQuantized(const Linear& linear, const at::Tensor& x_PI, std::optional<Activation> after) {
  static const auto run =
      Operator<at::Tensor(at::Tensor, double, int64_t, at::Tensor, at::Tensor, at::Tensor, std::optional<at::Tensor>,
                          double, int64_t, std::optional<at::ScalarType>, std::string_view, Scalars, std::string_view)>(
          "onednn::qlinear_pointwise", "");
  constexpr int64_t kRows = 16;  // not worth another thread below
  const at::Tensor x = x_PI.to(at::kFloat).contiguous();
  const int64_t rows = x.size(0), features = x.size(1);
  const at::Tensor quantized = at::empty(x.sizes(), at::kByte), scale = at::empty({rows}, at::kFloat);
  at::parallel_for(0, rows, kRows, [&](int64_t begin, int64_t end) {
    Quantize({.x = x.const_data_ptr<float>() + begin * features,
              .quantized = quantized.data_ptr<uint8_t>() + begin * features,
              .scale = scale.data_ptr<float>() + begin,
              .rows = end - begin,
              .features = features});
  });
  const at::Tensor y = run.call(quantized, /*x_scale=*/1, kQuantizedZero, linear.weight, linear.scale,
                                linear.zero_point, /*bias=*/std::nullopt, /*output_scale=*/1,
                                /*output_zero_point=*/0, at::kFloat, "none", Scalars(), "");
  at::parallel_for(0, rows, kRows, [&](int64_t begin, int64_t end) {
    Dequantize({.y = y.data_ptr<float>() + begin * y.size(1),
                .scale = scale.const_data_ptr<float>() + begin,
                .bias = linear.bias.defined() ? linear.bias.const_data_ptr<float>() : nullptr,
                .activation = after,
                .rows = end - begin,
                .features = y.size(1)});
  });
  return y;
}

}  // namespace

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

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (IsQuantized()) return RunQuantized(*this, x, std::nullopt);
  if (IsPacked()) return RunPacked(*this, x, {"none", ""});
  return at::linear(x.to(weight.scalar_type()), weight, bias);
}

at::Tensor Linear::Activated(Activation activation, const at::Tensor& x) const {
  if (IsQuantized()) return RunQuantized(*this, x, activation);
  return IsPacked() ? RunPacked(*this, x, Fused(activation)) : Activate(activation, (*this)(x));
}

at::Tensor Linear::Added(const at::Tensor& other, const at::Tensor& x) const {
  const bool fused = IsPacked() && !IsQuantized() && other.scalar_type() == weight.scalar_type();
  return fused ? RunPackedAdded(*this, other, x) : other + (*this)(x);
}

bool CanPack(const at::Tensor& weight) {
  if (!weight.is_cpu() || !at::globalContext().userEnabledMkldnn() || !at::Context::hasMKLDNN()) return false;
  if (weight.scalar_type() == at::kFloat) return true;
  static const bool has_bfloat16 = Operator<bool()>("mkldnn::_is_mkldnn_bf16_supported", "").call();
  return weight.scalar_type() == at::kBFloat16 && has_bfloat16;
}

Linear Packed(Linear linear) {
  static const auto pack =
      Operator<at::Tensor(const at::Tensor&, std::optional<c10::SymInt>)>("mkldnn::_reorder_linear_weight", "");
  linear.weight = pack.call(linear.weight, kPackedForTokens);
  return linear;
}

bool CanQuantize() { return CpuHasAnyOf({"avx512_vnni", "avx_vnni", "amx_int8"}); }

Linear Quantized(const Linear& linear) {
  static const auto pack =
      Operator<at::Tensor(at::Tensor, std::optional<c10::List<int64_t>>)>("onednn::qlinear_prepack", "");
  const at::Tensor scale = at::clamp_min(at::amax(at::abs(linear.weight), 1) / 127, 1e-30);
  const at::Tensor steps = at::round(linear.weight / scale.unsqueeze(1)).to(at::kChar);
  const c10::List<int64_t> shape = {kPackedForTokens, linear.weight.size(1)};
  return {.weight = pack.call(steps, shape),
          .bias = linear.bias,
          .scale = scale,
          .zero_point = at::zeros(scale.sizes(), at::kInt)};
}

}  // namespace midlayer
