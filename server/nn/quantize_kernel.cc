#include "server/nn/quantize_kernel.h"

#include <cmath>
#include <numbers>

// Highway compiles the rest of this file once for each set of vector instructions.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/nn/quantize_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After it:
#include "hwy/highway.h"
#include "server/nn/floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace midlayer::HWY_NAMESPACE {

// e^x for x <= 0.
template <typename Tag>
hn::Vec<Tag> Exponential(Tag d, hn::Vec<Tag> x) {
  return PowerOf2(d, hn::Mul(x, hn::Set(d, std::numbers::log2e_v<float>)));
}

// 1 / (1 + e^-x)
template <typename Tag>
hn::Vec<Tag> Sigmoid(Tag d, hn::Vec<Tag> x) {
  const auto one = hn::Set(d, 1);
  const auto power = Exponential(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Ge(x, hn::Zero(d)), one, power), hn::Add(one, power));
}

// To 1.5e-7: Abramowitz, Stegun, "Handbook of mathematical functions", 7.1.26.
template <typename Tag>
hn::Vec<Tag> Erf(Tag d, hn::Vec<Tag> x) {
  const auto one = hn::Set(d, 1), size = hn::Abs(x);
  const auto t = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3275911F), size, one));
  auto sum = hn::Set(d, 1.061405429F);
  for (const float factor : {-1.453152027F, 1.421413741F, -0.284496736F, 0.254829592F}) {
    sum = hn::MulAdd(sum, t, hn::Set(d, factor));
  }
  const auto rest = hn::Mul(hn::Mul(sum, t), Exponential(d, hn::Neg(hn::Mul(x, x))));
  return hn::CopySign(hn::Sub(one, rest), x);
}

template <typename Tag>
hn::Vec<Tag> Activated(Activation activation, Tag d, hn::Vec<Tag> x) {
  switch (activation) {
    case Activation::kGelu: {
      const auto half = hn::Mul(x, hn::Set(d, 0.5F));
      return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 1 / std::numbers::sqrt2_v<float>))), half);
    }
    case Activation::kGeluTanh: {  // (1 + tanh u) / 2 is the sigmoid of 2 u
      const auto cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715F)), x, x);
      const float factor = 2 * std::sqrt(2 * std::numbers::inv_pi_v<float>);
      return hn::Mul(x, Sigmoid(d, hn::Mul(cubic, hn::Set(d, factor))));
    }
    case Activation::kRelu:
      return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
    case Activation::kSilu:
      return hn::Mul(x, Sigmoid(d, x));
  }
  return x;
}

// The largest absolute value; no number where one is not finite.
float Largest(const float* row, int64_t features) {
  const Floats d;
  Vector largest = hn::Zero(d);
  float rest = 0;
  ForEachVector(features, [&](auto tag, int64_t i) HWY_ATTR {
    const auto size = hn::Abs(LoadFloats(tag, row + i));
    if constexpr (std::is_same_v<decltype(tag), Floats>) {
      largest = hn::Max(largest, size);
    } else {
      rest = std::fmax(rest, hn::GetLane(size));
    }
  });
  // What is not finite leaves no 0 behind.
  const float zero = SumOfVectors(features, [&](auto tag, int64_t i) HWY_ATTR {
    const auto x = LoadFloats(tag, row + i);
    return hn::Sub(x, x);
  });
  return std::fmax(rest, hn::GetLane(hn::MaxOfLanes(d, largest))) + zero;
}

void QuantizeRows(const QuantizeTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* const x = task.x + row * task.features;
    uint8_t* const to = task.quantized + row * task.features;
    const float largest = Largest(x, task.features);
    task.scale[row] = largest / 127;
    const float factor = largest > 0 ? 127 / largest : 0;
    ForEachVector(task.features, [&](auto d, int64_t i) HWY_ATTR {
      const hn::RebindToSigned<decltype(d)> whole;
      const auto steps = hn::NearestInt(hn::Mul(LoadFloats(d, x + i), hn::Set(d, factor)));
      const hn::Rebind<uint8_t, decltype(d)> bytes;
      hn::StoreU(hn::DemoteTo(bytes, hn::Add(steps, hn::Set(whole, kQuantizedZero))), bytes, to + i);
    });
  }
}

void DequantizeRows(const DequantizeTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    float* const y = task.y + row * task.features;
    ForEachVector(task.features, [&](auto d, int64_t i) HWY_ATTR {
      const auto bias = task.bias == nullptr ? hn::Zero(d) : LoadFloats(d, task.bias + i);
      const auto sum = hn::MulAdd(LoadFloats(d, y + i), hn::Set(d, task.scale[row]), bias);
      StoreFloats(d, task.activation ? Activated(*task.activation, d, sum) : sum, y + i);
    });
  }
}

}  // namespace midlayer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace midlayer {

HWY_EXPORT(QuantizeRows);
HWY_EXPORT(DequantizeRows);

void Quantize(const QuantizeTask& task) { HWY_DYNAMIC_DISPATCH(QuantizeRows)(task); }
void Dequantize(const DequantizeTask& task) { HWY_DYNAMIC_DISPATCH(DequantizeRows)(task); }

}  // namespace midlayer
#endif
