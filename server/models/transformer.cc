#include "server/models/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>

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

void Transformer::Run(const PackedTokens& batch, Tap tap) const {
  at::Tensor x_PD = Embed(batch);
  if (!tap(0, x_PD)) return;
  int64_t rows = 0;
  std::vector<RowGroup> groups;
  BiasByLength bias;
  for (int layer = 1; layer <= max_layer() && batch.RowsAt(layer) > 0; ++layer) {
    if (const int64_t alive = batch.RowsAt(layer); alive != rows) {
      rows = alive;
      groups = GroupRows(absl::MakeConstSpan(batch.offsets).subspan(0, rows + 1));
      x_PD = x_PD.narrow(0, 0, batch.offsets[rows]);
      if (layer == 1) bias = MakeBias(groups);
    }
    x_PD = RunBlock(blocks_[layer - 1], x_PD, groups, bias);
    if (layer == arch_.layers && arch_.final_norm) x_PD = final_norm_(x_PD);
    if (!tap(layer, x_PD)) return;
  }
}

at::Tensor Transformer::Embed(const PackedTokens& batch) const {
  at::Tensor x_PD = at::embedding(word_embedding_, ToDevice(batch.ids, device_)).to(at::kFloat);
  x_PD = x_PD + at::embedding(position_embedding_, ToDevice(PositionIds(arch_, batch), device_));
  if (token_type_embedding_.defined()) x_PD = x_PD + token_type_embedding_[0];
  return embedding_norm_(x_PD);
}

at::Tensor Transformer::RunBlock(const Block& block, const at::Tensor& x_PD, absl::Span<const RowGroup> groups,
                                 const BiasByLength& bias) const {
  const auto attention = [&](const at::Tensor& x) {
    return block.attention_out(PackedAttention(block.qkv(x), groups, arch_.heads, bias));
  };
  const auto mlp = [&](const at::Tensor& x) { return block.down(Activate(arch_.activation, block.up(x))); };
  if (arch_.norm_place == NormPlace::kPre) {
    const at::Tensor y_PD = x_PD + attention(block.attention_norm(x_PD));
    return y_PD + mlp(block.mlp_norm(y_PD));
  }
  const at::Tensor y_PD = block.attention_norm(x_PD + attention(x_PD));
  return block.mlp_norm(y_PD + mlp(y_PD));
}

BiasByLength Transformer::MakeBias(absl::Span<const RowGroup> groups) const {
  BiasByLength bias;
  if (!relative_bias_.defined()) return bias;
  for (const RowGroup& group : groups) {
    at::Tensor& entry = bias[group.tokens];
    if (!entry.defined()) entry = RelativeBias(relative_bias_, group.tokens);
  }
  return bias;
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
