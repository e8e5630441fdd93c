#include "server/nn/attention.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "server/nn/attention_kernel.h"

namespace midlayer {
namespace {

// 0 where token i sees token j, minus infinity elsewhere. (1, T, T).
at::Tensor WindowMask(const AttentionRule& rule, int64_t tokens, const at::Tensor& like) {
  const at::Tensor at_T = at::arange(tokens, like.options().dtype(at::kLong));
  const at::Tensor back = at_T.unsqueeze(1) - at_T.unsqueeze(0);  // (T, T), query less key
  at::Tensor hidden = at::abs(back) >= rule.window;
  if (rule.causal) hidden = hidden.logical_or(back < 0);
  return at::zeros({1, tokens, tokens}, like.options())
      .masked_fill_(hidden.unsqueeze(0), -std::numeric_limits<double>::infinity());
}

// Whether FlashAttention is there for such queries: on GPUs from compute capability 8.0 on, which bfloat16 asks for
// too.
bool TakesFlash(const at::Tensor& q_PNH, const AttentionMasks& masks) {
  const bool half = q_PNH.scalar_type() == at::kHalf || q_PNH.scalar_type() == at::kBFloat16;
  const int64_t size = q_PNH.size(2);
  return q_PNH.is_cuda() && half && size % 8 == 0 && size <= 256 && masks.OnlyByRule() &&
         at::globalContext().userEnabledFlashSDP();
}

at::Tensor FlashAttention(const at::Tensor& q_PNH, const at::Tensor& k_PKH, const at::Tensor& v_PKH,
                          const PackedRows& rows, const AttentionRule& rule) {
  std::optional<int64_t> left, right;
  if (rule.window > 0) {
    left = rule.window - 1;
    right = rule.causal ? 0 : rule.window - 1;
  }
  const at::Tensor context = std::get<0>(at::_flash_attention_forward(
      q_PNH, k_PKH, v_PKH, rows.starts, rows.starts, rows.longest, rows.longest,
      /*dropout_p=*/0, rule.causal, /*return_debug_mask=*/false, std::optional<double>(rule.scale), left, right));
  return context.reshape({q_PNH.size(0), -1});
}

// (rows * T, K, H) -> (rows, N, T, H), each head of keys or values as often as queries use it.
at::Tensor ByHead(const at::Tensor& packed, const RowGroup& group, int64_t heads) {
  const int64_t own = packed.size(1), size = packed.size(2);
  const at::Tensor rows =
      packed.narrow(0, group.first_token, group.rows * group.tokens).view({group.rows, group.tokens, own, size});
  const at::Tensor by_head = rows.transpose(1, 2);
  if (own == heads) return by_head;
  return by_head.unsqueeze(2)
      .expand({group.rows, own, heads / own, group.tokens, size})
      .reshape({group.rows, heads, group.tokens, size});
}

// (P, N H). What belongs to no row is 0.
at::Tensor Unfilled(const at::Tensor& q_PNH, const PackedRows& rows) {
  at::Tensor out = at::empty({q_PNH.size(0), q_PNH.size(1) * q_PNH.size(2)}, q_PNH.options());
  const int64_t end = rows.groups.empty() ? 0 : EndOf(rows.groups.back());
  if (end < out.size(0)) out.narrow(0, end, out.size(0) - end).zero_();
  return out;
}

// Heads next to each other, numbers of a head next to each other.
at::Tensor HeadByHead(const at::Tensor& x_PNH) {
  return x_PNH.stride(2) == 1 && x_PNH.stride(1) == x_PNH.size(2) ? x_PNH : x_PNH.contiguous();
}

struct KernelInputs {
  const at::Tensor q_PNH, k_PKH, v_PKH, out_PX;
};

// One row with one head of keys.
struct RowHead {
  int64_t first_token = 0;
  int64_t tokens = 0;
  int64_t head = 0;
  const float* added = nullptr;  // (N, T, T); null: nothing
};

// Value: float, or at::BFloat16, whose bits the kernel takes.
template <typename Value>
void AttendRowHead(const KernelInputs& in, const AttentionRule& rule, const RowHead& part) {
  using Element = std::conditional_t<std::is_same_v<Value, float>, float, uint16_t>;
  const int64_t heads = in.q_PNH.size(1) / in.k_PKH.size(1), size = in.q_PNH.size(2);
  const auto at = [&](const at::Tensor& x, int64_t column) {
    return reinterpret_cast<Element*>(x.data_ptr<Value>()) + part.first_token * x.stride(0) + column;
  };
  Attend(AttentionTask<Element>{
      .q = at(in.q_PNH, part.head * heads * size),
      .k = at(in.k_PKH, part.head * size),
      .v = at(in.v_PKH, part.head * size),
      .out = at(in.out_PX, part.head * heads * size),
      .q_stride = in.q_PNH.stride(0),
      .k_stride = in.k_PKH.stride(0),
      .v_stride = in.v_PKH.stride(0),
      .out_stride = in.out_PX.stride(0),
      .tokens = part.tokens,
      .head_size = size,
      .query_heads = heads,
      .scale = static_cast<float>(rule.scale),
      .causal = rule.causal,
      .window = rule.window,
      .added = part.added == nullptr ? nullptr : part.added + part.head * heads * part.tokens * part.tokens});
}

// Rows and heads are shared out to the threads as these come free: rows have many lengths.
template <typename Value>
at::Tensor CpuAttention(const at::Tensor& q_PNH, const at::Tensor& k_PKH, const at::Tensor& v_PKH,
                        const PackedRows& rows, const AttentionRule& rule, AttentionMasks& masks) {
  const KernelInputs in{HeadByHead(q_PNH), HeadByHead(k_PKH), HeadByHead(v_PKH), Unfilled(q_PNH, rows)};
  std::vector<RowHead> parts;
  for (const RowGroup& group : rows.groups) {
    const float* const added = masks.OnlyByRule()
                                   ? nullptr
                                   : masks.For(rule, group.tokens, at::empty({0}, at::kFloat)).const_data_ptr<float>();
    for (int64_t row = 0; row < group.rows; ++row) {
      for (int64_t head = 0; head < k_PKH.size(1); ++head) {
        parts.push_back({group.first_token + row * group.tokens, group.tokens, head, added});
      }
    }
  }
  std::atomic<size_t> next = 0;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(parts.size()));
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (size_t part = next++; part < parts.size(); part = next++) AttendRowHead<Value>(in, rule, parts[part]);
  });
  return in.out_PX;
}

}  // namespace

const at::Tensor& AttentionMasks::For(const AttentionRule& rule, int64_t tokens, const at::Tensor& like) {
  const int window = rule.window > 0 && tokens > rule.window ? rule.window : 0;
  const auto [entry, is_new] = masks_.try_emplace({tokens, window});
  if (!is_new) return entry->second;
  if (window > 0) entry->second = WindowMask(rule, tokens, like);
  if (relative_bias_.defined()) {
    const at::Tensor bias = RelativeBias(relative_bias_, tokens).to(like.scalar_type());
    entry->second = entry->second.defined() ? entry->second + bias : bias;
  }
  return entry->second;
}

at::Tensor PackedAttention(const at::Tensor& q_PNH, const at::Tensor& k_PKH, const at::Tensor& v_PKH,
                           const PackedRows& rows, const AttentionRule& rule, AttentionMasks& masks, bool own_kernel) {
  if (TakesFlash(q_PNH, masks)) return FlashAttention(q_PNH, k_PKH, v_PKH, rows, rule);
  if (own_kernel && q_PNH.is_cpu()) {
    if (q_PNH.scalar_type() == at::kFloat) return CpuAttention<float>(q_PNH, k_PKH, v_PKH, rows, rule, masks);
    if (q_PNH.scalar_type() == at::kBFloat16) {
      return CpuAttention<at::BFloat16>(q_PNH, k_PKH, v_PKH, rows, rule, masks);
    }
  }
  const int64_t heads = q_PNH.size(1), size = q_PNH.size(2);
  at::Tensor out = Unfilled(q_PNH, rows);
  for (const RowGroup& group : rows.groups) {
    const at::Tensor& added = masks.For(rule, group.tokens, q_PNH);
    std::optional<at::Tensor> mask;
    if (added.defined()) mask = added.unsqueeze(0);
    const at::Tensor context = at::scaled_dot_product_attention(
        ByHead(q_PNH, group, heads), ByHead(k_PKH, group, heads), ByHead(v_PKH, group, heads), mask, /*dropout_p=*/0,
        /*is_causal=*/rule.causal && !mask.has_value(), rule.scale);  // (rows, N, T, H)
    out.narrow(0, group.first_token, group.rows * group.tokens)
        .view({group.rows, group.tokens, heads, size})
        .copy_(context.transpose(1, 2));
  }
  return out;
}

at::Tensor RelativeBias(const at::Tensor& table, int64_t tokens) {
  constexpr int64_t kHalf = 16;      // half of the 32 buckets for each direction
  constexpr int64_t kExact = 8;      // distances below have a bucket each
  constexpr double kFarthest = 128;  // distances from here on share the last one
  const at::Tensor at_T = at::arange(tokens, table.options().dtype(at::kLong));
  const at::Tensor distance = at_T.unsqueeze(1) - at_T.unsqueeze(0);  // (T, T), query less key
  const at::Tensor length = at::abs(distance);
  at::Tensor far =
      kExact +
      (at::log(length.to(at::kFloat) / kExact) / std::log(kFarthest / kExact) * (kHalf - kExact)).to(at::kLong);
  far = at::minimum(far, at::full_like(far, kHalf - 1));
  const at::Tensor bucket = (distance < 0).to(at::kLong) * kHalf + at::where(length < kExact, length, far);
  return at::embedding(table, bucket).permute({2, 0, 1}).contiguous();  // (N, T, T)
}

}  // namespace midlayer
