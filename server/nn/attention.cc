#include "server/nn/attention.h"

#include <ATen/Context.h>
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

#include <cmath>
#include <limits>
#include <optional>

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
                           const PackedRows& rows, const AttentionRule& rule, AttentionMasks& masks) {
  if (TakesFlash(q_PNH, masks)) return FlashAttention(q_PNH, k_PKH, v_PKH, rows, rule);
  const int64_t heads = q_PNH.size(1), size = q_PNH.size(2);
  at::Tensor out = at::empty({q_PNH.size(0), heads * size}, q_PNH.options());
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
