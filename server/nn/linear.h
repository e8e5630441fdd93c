// Linear layers, and what follows them in the same step. Thread-safe; exceptions of libtorch pass through.
#ifndef MIDLAYER_SERVER_NN_LINEAR_H_
#define MIDLAYER_SERVER_NN_LINEAR_H_

#include <ATen/core/Tensor.h>

#include "server/nn/activation.h"

namespace midlayer {

at::Tensor Activate(Activation activation, const at::Tensor& x);

// y = x W^T + b, in W's dtype; in float32 where W is int8.
struct Linear {
  // (out, in); Packed() and Quantized() have it in oneDNN's layout, which only the functions below can read.
  at::Tensor weight;
  at::Tensor bias;  // (out), undefined where there is none
  // (out), of Quantized(): what the numbers of each row of W are multiplied by, and which number stands for 0 (it is
  // 0).
  at::Tensor scale;
  at::Tensor zero_point;

  bool IsPacked() const { return weight.defined() && weight.is_mkldnn(); }
  bool IsQuantized() const { return scale.defined(); }
  at::Tensor operator()(const at::Tensor& x) const;
  // Of y.
  at::Tensor Activated(Activation activation, const at::Tensor& x) const;
  // y + other. The sum has the wider dtype of the two.
  at::Tensor Added(const at::Tensor& other, const at::Tensor& x) const;
};

// Whether oneDNN has products of its own for such a weight on this machine: on a CPU, in float32 and, from AVX-512 on,
// bfloat16.
bool CanPack(const at::Tensor& weight);
// The same with its weight laid out for them. libtorch's own products lay it out at every call (bfloat16), or are
// MKL's, which on processors that are not Intel's use half of the vector width (float32).
Linear Packed(Linear linear);

// Whether this machine multiplies int8 numbers (VNNI or AMX).
bool CanQuantize();
// The same, of a plain layer in float32 on a CPU, with its weight in int8 (each row by its largest absolute value), and
// inputs that are brought to int8 one by one when they come. About a quarter of the memory and a third of the time of
// float32, against a loss that must be measured (Dettmers et al. 2022, "LLM.int8()", vector-wise quantization).
Linear Quantized(const Linear& linear);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_LINEAR_H_
