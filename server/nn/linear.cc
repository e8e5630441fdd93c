#include "server/nn/linear.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <optional>
#include <string_view>

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
  if (IsPacked()) return RunPacked(*this, x, {"none", ""});
  return at::linear(x.to(weight.scalar_type()), weight, bias);
}

at::Tensor Linear::Activated(Activation activation, const at::Tensor& x) const {
  return IsPacked() ? RunPacked(*this, x, Fused(activation)) : Activate(activation, (*this)(x));
}

at::Tensor Linear::Added(const at::Tensor& other, const at::Tensor& x) const {
  const bool fused = IsPacked() && other.scalar_type() == weight.scalar_type();
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

}  // namespace midlayer
