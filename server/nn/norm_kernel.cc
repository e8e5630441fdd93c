#include "server/nn/norm_kernel.h"

#include <cmath>

// Highway compiles the rest of this file once for each set of vector instructions.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/nn/norm_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After it:
#include "hwy/highway.h"
#include "server/nn/floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace midlayer::HWY_NAMESPACE {

// x + added.
template <typename Element>
void AddRow(const float* x, const Element* added, int64_t features, float* sum) {
  ForEachVector(features, [&](auto d, int64_t i) HWY_ATTR {
    StoreFloats(d, hn::Add(LoadFloats(d, x + i), LoadFloats(d, added + i)), sum + i);
  });
}

// (row - mean) * factor * weight + bias. Each number is read before it is written.
template <typename Element>
void ScaleRow(const NormTask<Element>& task, const float* row, float mean, float factor, int64_t at) {
  ForEachVector(task.features, [&](auto d, int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::Sub(LoadFloats(d, row + i), hn::Set(d, mean)), hn::Set(d, factor));
    const auto bias = task.bias == nullptr ? hn::Zero(d) : LoadFloats(d, task.bias + i);
    const auto normed = hn::MulAdd(scaled, LoadFloats(d, task.weight + i), bias);
    if (task.normed != nullptr) StoreFloats(d, normed, task.normed + at + i);
    if (task.normed_bf16 != nullptr) StoreFloats(d, normed, task.normed_bf16 + at + i);
  });
}

template <typename Element>
void Run(const NormTask<Element>& task) {
  const auto features = static_cast<float>(task.features);
  for (int64_t at = 0; at < task.rows * task.features; at += task.features) {
    const float* row = task.x + at;
    if (task.added != nullptr) {
      float* const sum = (task.sum != nullptr ? task.sum : task.normed) + at;
      AddRow(row, task.added + at, task.features, sum);
      row = sum;
    }
    float mean = 0;
    if (task.centred) {
      mean = SumOfVectors(task.features, [&](auto d, int64_t i) HWY_ATTR { return LoadFloats(d, row + i); }) / features;
    }
    const float squares = SumOfVectors(task.features, [&](auto d, int64_t i) HWY_ATTR {
      const auto centred = hn::Sub(LoadFloats(d, row + i), hn::Set(d, mean));
      return hn::Mul(centred, centred);
    });
    ScaleRow(task, row, mean, 1 / std::sqrt(squares / features + task.epsilon), at);
  }
}

void AddAndNormFloat(const NormTask<float>& task) { Run(task); }
void AddAndNormBFloat16(const NormTask<uint16_t>& task) { Run(task); }

}  // namespace midlayer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace midlayer {

HWY_EXPORT(AddAndNormFloat);
HWY_EXPORT(AddAndNormBFloat16);

void AddAndNorm(const NormTask<float>& task) { HWY_DYNAMIC_DISPATCH(AddAndNormFloat)(task); }
void AddAndNorm(const NormTask<uint16_t>& task) { HWY_DYNAMIC_DISPATCH(AddAndNormBFloat16)(task); }

}  // namespace midlayer
#endif
