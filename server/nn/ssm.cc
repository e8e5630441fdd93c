#include "server/nn/ssm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numbers>

namespace midlayer {

namespace {

// Dimensions of the scan beside those of the header: B rows, C chunks of a block, L tokens of a chunk, W channels of a
// tile.
//
// Why in this way. A loop over tokens does the least work (on one thread two thirds of the time), but its operations
// are too small for the threads of a CPU and for any GPU. Here the chunks of a block go side by side: 256 tokens take
// about 75 operations eight times as large, for one more pass over the states (StartStates). Other ways, for I = 1536,
// S = 16, T = 256 on one thread: the scan of Hillis and Steele over the tokens of a chunk makes five passes and took
// twice as long; (L, L) matrices of decays need L times as many powers and took forty times as long. Both hold more in
// memory.

// Blocks of a row follow one another.
constexpr int64_t kChunksOfBlock = 8;

// How a block is cut.
struct Cut {
  int64_t chunks = 0;  // C
  int64_t length = 0;  // L; the last chunk may lack up to C - 1 tokens
};

// What is worked on at once: nothing depends on another row or channel.
struct Tile {
  int64_t rows = 0;
  int64_t channels = 0;
};

// ScanInput in another shape: (B, T, X), or (L, C, B, X) in chunks.
struct Inputs {
  at::Tensor x;
  at::Tensor delta;
  at::Tensor b;
  at::Tensor c;
};

template <typename Function>
Inputs ForEach(const Inputs& inputs, const Function& function) {
  return {function(inputs.x), function(inputs.delta), function(inputs.b), function(inputs.c)};
}

Inputs Narrow(const Inputs& inputs, int64_t dimension, int64_t first, int64_t count) {
  return ForEach(inputs, [&](const at::Tensor& x) { return x.narrow(dimension, first, count); });
}

// A view of the group's tokens, (B, T, X).
at::Tensor RowsOf(const at::Tensor& x_PX, const RowGroup& group) {
  return x_PX.narrow(0, group.first_token, group.rows * group.tokens).view({group.rows, group.tokens, x_PX.size(1)});
}

Cut CutFor(int64_t tokens) {
  const int64_t chunks = (tokens + kScanChunk - 1) / kScanChunk;
  return {.chunks = chunks, .length = (tokens + chunks - 1) / chunks};
}

// The largest tile whose two buffers, decays and states, stay in the caches of a CPU's threads, or keep a GPU busy: a
// step of all chunks is then just large enough for all threads. Not too few channels: they are the inner loop of
// everything.
Tile TileFor(const RowGroup& group, const at::Tensor& a_SI, bool gpu) {
  constexpr int64_t kFewest = 32;
  const int64_t floats = gpu ? int64_t{1} << 25 : int64_t{at::get_num_threads()} << 20;
  const int64_t states = std::min(group.tokens, kChunksOfBlock * kScanChunk) * a_SI.size(0);  // of a channel in a block
  Tile tile;
  tile.channels = std::min(a_SI.size(1), std::max(kFewest, floats / states / kFewest * kFewest));
  tile.rows = std::clamp<int64_t>(floats / (states * tile.channels), 1, group.rows);
  return tile;
}

// (B, T, X) to (L, C, B, X), contiguous, so that a step of all chunks is one plain loop. What is beyond the last token
// is zero: a time step of zero changes no state.
at::Tensor InChunks(const at::Tensor& x_BTX, const Cut& cut) {
  const int64_t rows = x_BTX.size(0), missing = cut.chunks * cut.length - x_BTX.size(1);
  const at::Tensor whole_BTX = missing == 0 ? x_BTX : at::constant_pad_nd(x_BTX, {0, 0, 0, missing});
  return whole_BTX.view({rows, cut.chunks, cut.length, x_BTX.size(2)}).permute({2, 1, 0, 3}).contiguous();
}

// The states that the chunks after the first start from, (C - 1, B, S, W): each chunk's end as if it began with zeros,
// all chunks side by side; then one chunk after the other, with the decay over the whole chunk.
at::Tensor StartStates(const at::Tensor& a_SW, const at::Tensor& delta_LCBW, const at::Tensor& decay_LCBSW,
                       const at::Tensor& added_LCBSW) {
  const int64_t count = delta_LCBW.size(1) - 1;
  const auto but_last = [count](const at::Tensor& x) { return x.narrow(0, 0, count); };
  at::Tensor ends = but_last(added_LCBSW[0]).clone();
  for (int64_t l = 1; l < delta_LCBW.size(0); ++l) {
    at::addcmul_out(ends, but_last(added_LCBSW[l]), but_last(decay_LCBSW[l]), ends);
  }
  const at::Tensor whole = (but_last(delta_LCBW.sum(0)).unsqueeze(2) * a_SW).exp2_();
  for (int64_t chunk = 1; chunk < count; ++chunk) ends[chunk].addcmul_(whole[chunk], ends[chunk - 1]);
  return ends;
}

// The scan of some rows and channels over one block; input.x is delta[t] x[t]. carried_BSW: the states after the block
// before, and then after this one. Returns (L, C, B, W).
at::Tensor ScanTile(const at::Tensor& a_SW, const Inputs& input, const at::Tensor& carried_BSW) {
  const int64_t length = input.delta.size(0), chunks = input.delta.size(1);
  const at::Tensor decay_LCBSW = (input.delta.unsqueeze(3) * a_SW).exp2_();
  // What each token adds, then the state after it.
  const at::Tensor state_LCBSW = input.x.unsqueeze(3) * input.b.unsqueeze(4);
  state_LCBSW[0][0].addcmul_(decay_LCBSW[0][0], carried_BSW);
  if (chunks > 1) {
    const at::Tensor starts = StartStates(a_SW, input.delta, decay_LCBSW, state_LCBSW);
    state_LCBSW[0].narrow(0, 1, chunks - 1).addcmul_(decay_LCBSW[0].narrow(0, 1, chunks - 1), starts);
  }
  for (int64_t l = 1; l < length; ++l) state_LCBSW[l].addcmul_(decay_LCBSW[l], state_LCBSW[l - 1]);
  carried_BSW.copy_(state_LCBSW[length - 1][chunks - 1]);
  return at::matmul(input.c.unsqueeze(3), state_LCBSW).squeeze(3);
}

// Fills y_BTI. input: (B, T, X).
void ScanBlock(const at::Tensor& a_SI, const Inputs& input, int64_t tile_channels, const at::Tensor& carried_BSI,
               const at::Tensor& y_BTI) {
  const int64_t tokens = y_BTI.size(1), channels = y_BTI.size(2);
  const Cut cut = CutFor(tokens);
  Inputs chunked = ForEach(input, [&cut](const at::Tensor& x_BTX) { return InChunks(x_BTX, cut); });
  chunked.x = chunked.x * chunked.delta;
  const at::Tensor y_LCBI = at::empty_like(chunked.x);
  for (int64_t first = 0; first < channels; first += tile_channels) {
    const int64_t count = std::min(tile_channels, channels - first);
    const auto tile = [&](const at::Tensor& x) { return x.narrow(-1, first, count); };
    tile(y_LCBI).copy_(
        ScanTile(tile(a_SI), {tile(chunked.x), tile(chunked.delta), chunked.b, chunked.c}, tile(carried_BSI)));
  }
  y_BTI.copy_(y_LCBI.permute({2, 1, 0, 3}).reshape({y_BTI.size(0), -1, channels}).narrow(1, 0, tokens));
}

// Fills y_BTI, one block after the other, so that memory does not grow with the text. input: (B, T, X).
void ScanRows(const at::Tensor& a_SI, const Inputs& input, int64_t tile_channels, const at::Tensor& y_BTI) {
  constexpr int64_t kBlock = kChunksOfBlock * kScanChunk;
  const at::Tensor carried_BSI = at::zeros({y_BTI.size(0), a_SI.size(0), a_SI.size(1)}, y_BTI.options());
  for (int64_t first = 0; first < y_BTI.size(1); first += kBlock) {
    const int64_t count = std::min(kBlock, y_BTI.size(1) - first);
    ScanBlock(a_SI, Narrow(input, 1, first, count), tile_channels, carried_BSI, y_BTI.narrow(1, first, count));
  }
}

// The bias is added in float32: its last bits decide how long a state lives.
at::Tensor TimeStep(const Linear& projection, const at::Tensor& x_PR) {
  Linear product = projection;
  product.bias = at::Tensor();
  at::Tensor step_PI = product(x_PR).to(at::kFloat);
  if (projection.bias.defined()) step_PI = step_PI + projection.bias.to(at::kFloat);
  return at::softplus(step_PI);
}

}  // namespace

at::Tensor CausalConv(const at::Tensor& x_PI, const at::Tensor& weight, const at::Tensor& bias,
                      absl::Span<const RowGroup> groups) {
  const at::Tensor weight_KI = weight.squeeze(1).to(at::kFloat).t().contiguous();
  const int64_t last = weight_KI.size(0) - 1;
  at::Tensor y_PI = x_PI * weight_KI[last];
  if (bias.defined()) y_PI.add_(bias.to(at::kFloat));
  for (const RowGroup& group : groups) {
    const at::Tensor x_BTI = RowsOf(x_PI, group), y_BTI = RowsOf(y_PI, group);
    for (int64_t back = 1; back <= last && back < group.tokens; ++back) {
      const int64_t count = group.tokens - back;
      y_BTI.narrow(1, back, count).addcmul_(x_BTI.narrow(1, 0, count), weight_KI[last - back]);
    }
  }
  return y_PI;
}

at::Tensor SelectiveScan(const at::Tensor& a_IS, const ScanInput& input, absl::Span<const RowGroup> groups) {
  // Decays are powers of 2: on CPUs libtorch computes them four times as fast as exp.
  const at::Tensor a_SI = (a_IS * std::numbers::log2e).t().contiguous();
  const Inputs all{.x = input.x_PI, .delta = input.delta_PI, .b = input.b_PS, .c = input.c_PS};
  const at::Tensor y_PI = at::empty_like(input.x_PI);
  for (const RowGroup& group : groups) {
    const Inputs rows = ForEach(all, [&group](const at::Tensor& x_PX) { return RowsOf(x_PX, group); });
    const at::Tensor y_BTI = RowsOf(y_PI, group);
    const Tile tile = TileFor(group, a_SI, y_PI.is_cuda());
    for (int64_t row = 0; row < group.rows; row += tile.rows) {
      const int64_t count = std::min(tile.rows, group.rows - row);
      ScanRows(a_SI, Narrow(rows, 0, row, count), tile.channels, y_BTI.narrow(0, row, count));
    }
  }
  return y_PI;
}

at::Tensor RunMamba(const MambaMixer& mixer, const at::Tensor& x_PD, absl::Span<const RowGroup> groups) {
  const int64_t inner = mixer.a.size(0), rank = mixer.time_step_rank, states = mixer.state_size;
  const at::Tensor both_PX = mixer.in_proj(x_PD).to(at::kFloat);
  const at::Tensor x_PI =
      Activate(mixer.activation, CausalConv(both_PX.narrow(1, 0, inner), mixer.conv_weight, mixer.conv_bias, groups));
  const at::Tensor selected_PX = mixer.x_proj(x_PI).to(at::kFloat);
  const at::Tensor delta_PI = TimeStep(mixer.dt_proj, selected_PX.narrow(1, 0, rank));
  at::Tensor y_PI = SelectiveScan(mixer.a,
                                  {.x_PI = x_PI,
                                   .delta_PI = delta_PI,
                                   .b_PS = selected_PX.narrow(1, rank, states),
                                   .c_PS = selected_PX.narrow(1, rank + states, states)},
                                  groups);
  y_PI.addcmul_(x_PI, mixer.d.to(at::kFloat)).mul_(at::silu(both_PX.narrow(1, inner, inner)));
  return mixer.out_proj(y_PI);
}

}  // namespace midlayer
