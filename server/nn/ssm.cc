#include "server/nn/ssm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softplus.h>

#include <algorithm>

namespace midlayer {

namespace {

// Dimensions of the scan beside those of the header: B rows of a group, C chunks of a row, L tokens of a chunk, W
// channels of a tile.

// How rows of one length are cut.
struct Cut {
  int64_t chunks = 0;  // C
  int64_t length = 0;  // L; chunks * length is at least the row's length, less than that and C
};

// What is worked on at once: nothing depends on another row or channel.
struct Tile {
  int64_t rows = 0;
  int64_t channels = 0;
};

Cut CutFor(int64_t tokens) {
  const int64_t chunks = (tokens + kScanChunk - 1) / kScanChunk;
  return {.chunks = chunks, .length = (tokens + chunks - 1) / chunks};
}

// The largest tile whose states are `floats` at most; but no fewer than 32 channels, for the loops of libtorch to be
// worth starting.
Tile TileFor(int64_t states, int64_t rows, int64_t channels, int64_t floats) {
  constexpr int64_t kFewest = 32;
  Tile tile;
  tile.channels = std::min(channels, std::max(kFewest, floats / states / kFewest * kFewest));
  tile.rows = std::clamp<int64_t>(floats / (states * tile.channels), 1, rows);
  return tile;
}

// How many floats one of a tile's buffers may hold.
int64_t FloatsFor(const at::Tensor& x) { return x.is_cuda() ? int64_t{1} << 25 : int64_t{1} << 20; }

// The group's tokens, chunk beside chunk: (L, C, B, X), contiguous, so that a step of all chunks is one plain loop.
// What is beyond a row's end is zero: a time step of zero changes no state.
at::Tensor InChunks(const at::Tensor& x_PX, const RowGroup& group, const Cut& cut) {
  const at::Tensor x = x_PX.narrow(0, group.first_token, group.rows * group.tokens)
                           .view({group.rows, group.tokens, x_PX.size(1)});  // (B, T, X)
  const int64_t padding = cut.chunks * cut.length - group.tokens;
  return at::constant_pad_nd(x, {0, 0, 0, padding})
      .view({group.rows, cut.chunks, cut.length, x.size(2)})
      .permute({2, 1, 0, 3})
      .contiguous();
}

// A group's scan, in chunks.
struct ChunkedInput {
  at::Tensor delta_LCBI;
  at::Tensor x_LCBI;  // delta[t] x[t]
  at::Tensor b_LCBS;
  at::Tensor c_LCBS;
};

// The states that the chunks after the first start from, (C - 1, B, S, W): each chunk's end as if it began with zeros,
// all chunks side by side, then one chunk after the other with the decay over the whole chunk.
at::Tensor StartStates(const at::Tensor& a_SW, const at::Tensor& delta_LCBW, const at::Tensor& decay_LCBSW,
                       const at::Tensor& added_LCBSW) {
  const int64_t length = delta_LCBW.size(0), count = delta_LCBW.size(1) - 1;
  at::Tensor ends = added_LCBSW[0].narrow(0, 0, count).clone();
  for (int64_t l = 1; l < length; ++l) {
    ends.mul_(decay_LCBSW[l].narrow(0, 0, count)).add_(added_LCBSW[l].narrow(0, 0, count));
  }
  const at::Tensor whole = at::exp((delta_LCBW.narrow(1, 0, count).sum(0).unsqueeze(2) * a_SW));  // (C - 1, B, S, W)
  for (int64_t chunk = 1; chunk < count; ++chunk) ends[chunk].addcmul_(whole[chunk], ends[chunk - 1]);
  return ends;
}

// The scan of some rows and channels. Returns (L, C, B, W).
at::Tensor ScanTile(const at::Tensor& a_SW, const at::Tensor& delta_LCBW, const at::Tensor& x_LCBW,
                    const at::Tensor& b_LCBS, const at::Tensor& c_LCBS) {
  const int64_t length = delta_LCBW.size(0), later = delta_LCBW.size(1) - 1;
  const at::Tensor decay_LCBSW = (delta_LCBW.unsqueeze(3) * a_SW).exp_();
  at::Tensor state_LCBSW = x_LCBW.unsqueeze(3) * b_LCBS.unsqueeze(4);  // what each token adds, then the state after it
  if (later > 0) {
    state_LCBSW[0]
        .narrow(0, 1, later)
        .addcmul_(decay_LCBSW[0].narrow(0, 1, later), StartStates(a_SW, delta_LCBW, decay_LCBSW, state_LCBSW));
  }
  for (int64_t l = 1; l < length; ++l) state_LCBSW[l].addcmul_(decay_LCBSW[l], state_LCBSW[l - 1]);
  return at::matmul(c_LCBS.unsqueeze(3), state_LCBSW).squeeze(3);
}

// The bias is added in float32: its last bits decide how long a state lives.
at::Tensor TimeStep(const Linear& projection, const at::Tensor& x_PR) {
  at::Tensor step_PI = Linear{.weight = projection.weight}(x_PR).to(at::kFloat);
  if (projection.bias.defined()) step_PI = step_PI + projection.bias.to(at::kFloat);
  return at::softplus(step_PI);
}

// y_PI's rows of the group. a_SI: contiguous.
void ScanGroup(const at::Tensor& a_SI, const ChunkedInput& input, const RowGroup& group, at::Tensor* y_PI) {
  const at::Tensor& delta = input.delta_LCBI;
  const int64_t length = delta.size(0), chunks = delta.size(1), channels = delta.size(3);
  const Tile tile = TileFor(length * chunks * a_SI.size(0), group.rows, channels, FloatsFor(delta));
  at::Tensor y_LCBI = at::empty_like(delta);
  for (int64_t row = 0; row < group.rows; row += tile.rows) {
    const auto rows = [&, count = std::min(tile.rows, group.rows - row)](const at::Tensor& x) {
      return x.narrow(2, row, count);
    };
    for (int64_t first = 0; first < channels; first += tile.channels) {
      const auto part = [&, count = std::min(tile.channels, channels - first)](const at::Tensor& x) {
        return x.narrow(-1, first, count);
      };
      part(rows(y_LCBI))
          .copy_(ScanTile(part(a_SI), part(rows(delta)), part(rows(input.x_LCBI)), rows(input.b_LCBS),
                          rows(input.c_LCBS)));
    }
  }
  const at::Tensor y = y_LCBI.permute({2, 1, 0, 3}).reshape({group.rows, chunks * length, channels});
  y_PI->narrow(0, group.first_token, group.rows * group.tokens)
      .view({group.rows, group.tokens, channels})
      .copy_(y.narrow(1, 0, group.tokens));
}

}  // namespace

at::Tensor CausalConv(const at::Tensor& x_PI, const at::Tensor& weight, const at::Tensor& bias,
                      absl::Span<const RowGroup> groups) {
  const at::Tensor weight_KI = weight.squeeze(1).to(at::kFloat).t().contiguous();
  const int64_t last = weight_KI.size(0) - 1;
  at::Tensor y_PI = x_PI * weight_KI[last];
  if (bias.defined()) y_PI.add_(bias.to(at::kFloat));
  for (const RowGroup& group : groups) {
    const auto tokens = [&group](const at::Tensor& z_PI, int64_t first, int64_t count) {
      return z_PI.narrow(0, group.first_token, group.rows * group.tokens)
          .view({group.rows, group.tokens, z_PI.size(1)})
          .narrow(1, first, count);
    };
    for (int64_t back = 1; back <= last && back < group.tokens; ++back) {
      const int64_t count = group.tokens - back;
      tokens(y_PI, back, count).addcmul_(tokens(x_PI, 0, count), weight_KI[last - back]);
    }
  }
  return y_PI;
}

at::Tensor SelectiveScan(const at::Tensor& a_IS, const ScanInput& input, absl::Span<const RowGroup> groups) {
  const at::Tensor a_SI = a_IS.t().contiguous();
  const at::Tensor x_PI = input.delta_PI * input.x_PI;
  at::Tensor y_PI = at::empty_like(x_PI);
  for (const RowGroup& group : groups) {
    const Cut cut = CutFor(group.tokens);
    ScanGroup(a_SI,
              {.delta_LCBI = InChunks(input.delta_PI, group, cut),
               .x_LCBI = InChunks(x_PI, group, cut),
               .b_LCBS = InChunks(input.b_PS, group, cut),
               .c_LCBS = InChunks(input.c_PS, group, cut)},
              group, &y_PI);
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
