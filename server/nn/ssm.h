// The mixer of Mamba blocks (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023) as
// free functions over packed tokens, computing what MambaMixer of transformers does without a cache. Every row starts
// from a state of zeros. Thread-safe; exceptions of libtorch pass through.
//
// The arithmetic of a row does not depend on its batch: convolution and scan give it the same bits alone and in any
// batch (on one thread of a CPU where I is a multiple of 32; elsewhere libtorch may round the last elements of a
// thread's share in another way). The projections are products of all packed tokens, whose last bits are up to the
// BLAS.
//
// Dimensions: P packed tokens, T tokens of a row, D hidden, I inner channels, S states of a channel, R rank of the time
// step, K width of the convolution.
#ifndef MIDLAYER_SERVER_NN_SSM_H_
#define MIDLAYER_SERVER_NN_SSM_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/types/span.h"
#include "server/nn/activation.h"
#include "server/nn/functions.h"

namespace midlayer {

// The weights of one mixer. The projections may be float32, bfloat16 or float16; the rest is used in float32.
struct MambaMixer {
  Linear in_proj;                             // (2 I, D), bias optional: the channels, then their gates
  at::Tensor conv_weight;                     // (I, 1, K)
  at::Tensor conv_bias;                       // (I) or undefined
  Linear x_proj;                              // (R + 2 S, I), bias optional: time step, B, C
  Linear dt_proj;                             // (I, R), bias optional
  at::Tensor a;                               // (I, S), negative: -exp(A_log), float32
  at::Tensor d;                               // (I)
  Linear out_proj;                            // (D, I), bias optional
  Activation activation = Activation::kSilu;  // of the convolution; the gate always goes through SiLU
  int64_t time_step_rank = 0;                 // R
  int64_t state_size = 0;                     // S
};

// x_PD: any floating type. Returns (P, D) in the type of out_proj. The projections run in the type of their weights;
// the convolution, the time step with its bias, the scan and the gate run in float32. Needs about 6 P I floats beside
// what SelectiveScan needs.
at::Tensor RunMamba(const MambaMixer& mixer, const at::Tensor& x_PD, absl::Span<const RowGroup> groups);

// y[t] = bias + Σ_k weight[k] x[t - K + 1 + k] over the tokens of the same row, for each channel on its own; tokens
// before the first count as zero. x: (P, I) float32. weight: (I, 1, K). bias: (I) or undefined. Returns (P, I).
at::Tensor CausalConv(const at::Tensor& x_PI, const at::Tensor& weight, const at::Tensor& bias,
                      absl::Span<const RowGroup> groups);

// What the selective scan reads, float32.
struct ScanInput {
  at::Tensor x_PI;
  at::Tensor delta_PI;  // time steps, not negative
  at::Tensor b_PS;
  at::Tensor c_PS;
};

// Rows up to this many tokens are scanned as one chunk. Longer ones are cut into blocks of eight chunks, and the rest
// of a row into as few chunks of equal length as possible: by the row's length alone.
inline constexpr int64_t kScanChunk = 32;

// y[t] = Σ_s c[t, s] h[t, s] with h[t, s] = exp(delta[t] a[s]) h[t - 1, s] + delta[t] b[t, s] x[t] and h[-1] = 0, for
// each channel of each row on its own. a: (I, S), not positive. Returns (P, I). All that is ever multiplied up is
// decays from 0 to 1, so nothing overflows, however long the row is.
//
// Beside input and output it holds two buffers of about 2^20 floats for each thread of a CPU, 2^25 floats on a GPU,
// and some 5 times 256 I floats; wherever they are larger, 32 channels of one block of one row.
at::Tensor SelectiveScan(const at::Tensor& a_IS, const ScanInput& input, absl::Span<const RowGroup> groups);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_SSM_H_
