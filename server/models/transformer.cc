#include "server/models/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/split_with_sizes.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>

#include "server/nn/attention.h"
#include "server/nn/rope.h"

namespace midlayer {

namespace {

// The row of the position table for every token.
std::vector<int32_t> PositionIds(const ArchSpec& arch, const PackedTokens& batch) {
  std::vector<int32_t> positions(batch.ids.size());
  for (int64_t row = 0; row < batch.rows(); ++row) {
    int32_t counted = 0;
    for (int64_t token = batch.offsets[row]; token < batch.offsets[row + 1]; ++token) {
      const bool after_padding = arch.position_rule == PositionRule::kAfterPadding;
      if (after_padding && batch.ids[token] == arch.padding_id) {
        positions[token] = arch.padding_id;
      } else {
        positions[token] = counted++ + (after_padding ? arch.padding_id + 1 : 0);
      }
    }
  }
  return positions;
}

at::Tensor ToDevice(const std::vector<int32_t>& values, at::Device device) {
  return at::tensor(at::IntArrayRef(std::vector<int64_t>(values.begin(), values.end())), at::kInt).to(device);
}

at::Tensor ActivateDense(DenseSpec::Activation activation, const at::Tensor& x) {
  switch (activation) {
    case DenseSpec::Activation::kIdentity:
      return x;
    case DenseSpec::Activation::kTanh:
      return at::tanh(x);
    case DenseSpec::Activation::kRelu:
      return at::relu(x);
    case DenseSpec::Activation::kGelu:
      return at::gelu(x);
    case DenseSpec::Activation::kSigmoid:
      return at::sigmoid(x);
  }
  return x;
}

}  // namespace

struct Transformer::Pass {
  std::vector<RowGroup> groups;  // of the rows that are still computed
  std::vector<RopeTable> ropes;  // of all rows, for each of the architecture's ropes
  AttentionMasks masks;
};

void Transformer::Run(const PackedTokens& batch, Tap tap) const {
  at::Tensor x_PD = Embed(batch);
  if (!tap(0, x_PD)) return;
  Pass pass{.masks = AttentionMasks(relative_bias_)};
  for (const RopeSpec& rope : arch_.ropes) pass.ropes.push_back(MakeRopeTable(rope, batch.offsets, device_));
  int64_t rows = 0;
  for (int layer = 1; layer <= max_layer() && batch.RowsAt(layer) > 0; ++layer) {
    if (const int64_t alive = batch.RowsAt(layer); alive != rows) {
      rows = alive;
      pass.groups = GroupRows(absl::MakeConstSpan(batch.offsets).subspan(0, rows + 1));
      x_PD = x_PD.narrow(0, 0, batch.offsets[rows]);
    }
    x_PD = RunBlock(layer, x_PD, pass);
    if (layer == arch_.layers && arch_.final_norm) x_PD = final_norm_(x_PD);
    if (!tap(layer, x_PD)) return;
  }
}

at::Tensor Transformer::Embed(const PackedTokens& batch) const {
  at::Tensor x_PD = at::embedding(word_embedding_, ToDevice(batch.ids, device_)).to(at::kFloat);
  if (arch_.embedding_scale != 1) x_PD = x_PD * arch_.embedding_scale;
  if (position_embedding_.defined()) {
    x_PD = x_PD + at::embedding(position_embedding_, ToDevice(PositionIds(arch_, batch), device_));
  }
  if (token_type_embedding_.defined()) x_PD = x_PD + token_type_embedding_[0];
  return arch_.embedding_norm ? embedding_norm_(x_PD) : x_PD;
}

at::Tensor Transformer::Attention(int layer, const at::Tensor& x_PD, Pass& pass) const {
  const Block& block = blocks_[layer - 1];
  const AttentionSpec& spec = arch_.attention[layer - 1];
  const int64_t tokens = x_PD.size(0), keys = arch_.key_features();
  const auto by_head = [&](const at::Tensor& x) { return x.reshape({tokens, -1, arch_.head_size}); };
  const std::vector<at::Tensor> parts = at::split_with_sizes(block.qkv(x_PD), {arch_.query_features(), keys, keys}, 1);
  at::Tensor q = by_head(parts[0]), k = by_head(parts[1]);
  const at::Tensor v = by_head(parts[2]);
  if (arch_.qk_norm) {
    q = block.query_norm(q).to(v.scalar_type());
    k = block.key_norm(k).to(v.scalar_type());
  }
  if (spec.rope >= 0) {
    const bool interleaved = arch_.ropes[spec.rope].interleaved;
    q = ApplyRope(pass.ropes[spec.rope], interleaved, q);
    k = ApplyRope(pass.ropes[spec.rope], interleaved, k);
  }
  const bool causal = arch_.direction == AttentionDirection::kCausal;
  return block.attention_out(PackedAttention(
      q, k, v, pass.groups, {.scale = spec.scale, .causal = causal, .window = spec.window}, pass.masks));
}

at::Tensor Transformer::Mlp(const Block& block, const at::Tensor& x_PD) const {
  const at::Tensor up = block.up(x_PD);
  if (!arch_.gated_mlp) return block.down(Activate(arch_.activation, up));
  const int64_t width = up.size(1) / 2;
  return block.down(Activate(arch_.activation, up.narrow(1, 0, width)) * up.narrow(1, width, width));
}

at::Tensor Transformer::RunBlock(int layer, const at::Tensor& x_PD, Pass& pass) const {
  const Block& block = blocks_[layer - 1];
  if (arch_.mixer == Mixer::kMamba) return x_PD + RunMamba(block.mamba, block.attention_norm(x_PD), pass.groups);
  const auto attention = [&](const at::Tensor& x) { return Attention(layer, x, pass); };
  const auto mlp = [&](const at::Tensor& x) { return Mlp(block, x); };
  const auto attention_norm = [&](const at::Tensor& x) {
    return layer > 1 || arch_.first_attention_norm ? block.attention_norm(x) : x;
  };
  switch (arch_.block_form) {
    case BlockForm::kPostNorm: {
      const at::Tensor y_PD = block.attention_norm(x_PD + attention(x_PD));
      return block.mlp_norm(y_PD + mlp(y_PD));
    }
    case BlockForm::kPreNorm: {
      const at::Tensor y_PD = x_PD + attention(attention_norm(x_PD));
      return y_PD + mlp(block.mlp_norm(y_PD));
    }
    case BlockForm::kParallel:
      return x_PD + attention(attention_norm(x_PD)) + mlp(block.mlp_norm(x_PD));
    case BlockForm::kParallelShared: {
      const at::Tensor normed_PD = attention_norm(x_PD);
      return x_PD + attention(normed_PD) + mlp(normed_PD);
    }
    case BlockForm::kSandwich: {
      const at::Tensor y_PD = x_PD + block.post_attention_norm(attention(attention_norm(x_PD)));
      return y_PD + block.post_mlp_norm(mlp(block.mlp_norm(y_PD)));
    }
  }
  return x_PD;
}

at::Tensor Transformer::Normed(int layer, const at::Tensor& states_PD) const {
  return arch_.final_norm && layer < arch_.layers ? final_norm_(states_PD) : states_PD;
}

at::Tensor Transformer::Dense(at::Tensor pooled_BD) const {
  for (const DenseModule& module : dense_) {
    pooled_BD = ActivateDense(module.spec.activation, module.linear(pooled_BD).to(at::kFloat));
  }
  return pooled_BD;
}

}  // namespace midlayer
