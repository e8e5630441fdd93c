// The arithmetic of merging a LoRA adapter (adapter.h) into a weight.
#ifndef MIDLAYER_SERVER_MODELS_ADAPTER_MERGE_H_
#define MIDLAYER_SERVER_MODELS_ADAPTER_MERGE_H_

#include <ATen/core/Tensor.h>

namespace midlayer {

// weight + scale · b a, computed in float32 in the order of PEFT's merge: whoever serves a narrower type rounds the
// result once, at the end of all adapters. Any floating types, on one device; the CPU is precise enough and the same
// everywhere. Exceptions of libtorch pass through.
//
// a: (rank, in), b: (out, rank). weight: (out, in), or with fan_in_fan_out (in, out). Returns a new tensor in the shape
// of `weight`, float32 and contiguous; beside it one more of that size lives during the call if `weight` is transposed.
at::Tensor MergeLora(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale,
                     bool fan_in_fan_out);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_ADAPTER_MERGE_H_
