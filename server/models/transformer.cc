#include "server/models/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/split_with_sizes.h>
#include <ATen/ops/tanh.h>

#include <algorithm>
#include <utility>

#include "server/nn/attention.h"

namespace midlayer {

namespace {

// Writes the position of every token; see PositionRule.
void WritePositions(const ArchSpec& arch, const PackedTokens& batch, int32_t* positions) {
  const bool after_padding = arch.position_rule == PositionRule::kAfterPadding;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    int32_t next = after_padding ? arch.padding_id + 1 : 0;
    for (int64_t token = batch.offsets[row]; token < batch.offsets[row + 1]; ++token) {
      positions[token] = after_padding && batch.ids[token] == arch.padding_id ? arch.padding_id : next++;
    }
  }
}

// Products of every new number of tokens are set up once, which takes as long as a short text: above a few, numbers are
// rounded up.
int64_t RoundUp(int64_t tokens, int64_t multiple) {
  constexpr int64_t kFew = 32;
  return tokens <= kFew ? tokens : (tokens + multiple - 1) / multiple * multiple;
}

int64_t Longest(const PackedTokens& batch, int64_t rows) {
  int64_t longest = 0;
  for (int64_t row = 0; row < rows; ++row) longest = std::max(longest, batch.offsets[row + 1] - batch.offsets[row]);
  return longest;
}

Stream FirstTokens(const Stream& x, int64_t tokens) {
  const auto first = [tokens](const at::Tensor& of) { return of.defined() ? of.narrow(0, 0, tokens) : of; };
  return {first(x.residual), first(x.input)};
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
  Pass(std::vector<RopeTable> all_ropes, const at::Tensor& relative_bias)
      : ropes(std::move(all_ropes)), masks(relative_bias) {}

  PackedRows rows;
  std::vector<RopeTable> ropes;  // of all rows, for each of the architecture's ropes
  AttentionMasks masks;
};

void Transformer::WarmUp() const {
  const PackedTokens batch{.ids = std::vector<int32_t>(8, 0), .offsets = {0, 8}, .last_layer = {max_layer()}};
  Run(batch, [](int, const at::Tensor&) { return true; });
}

void Transformer::Run(const PackedTokens& batch, Tap tap) const {
  TORCH_CHECK(batch.RowsAt(max_layer() + 1) == 0, "expected rows up to layer ", max_layer(), ", found a deeper one");
  const Inputs inputs = Stage(batch);
  Stream x = Embed(inputs);
  if (!tap(0, x.residual.narrow(0, 0, batch.tokens()))) return;
  Pass pass(RopesFor(batch, inputs), relative_bias_);
  int64_t rows = 0;
  for (int layer = 1; layer <= max_layer() && batch.RowsAt(layer) > 0; ++layer) {
    if (const int64_t alive = batch.RowsAt(layer); alive != rows) {
      rows = alive;
      pass.rows.groups = GroupRows(absl::MakeConstSpan(batch.offsets).subspan(0, rows + 1));
      pass.rows.longest = Longest(batch, rows);
      pass.rows.starts = inputs.starts.narrow(0, 0, rows + 1);
      x = FirstTokens(x, RoundUp(batch.offsets[rows], token_multiple_));
    }
    x = RunBlock(layer, x, pass);
    if (layer == arch_.layers && arch_.final_norm) x.residual = final_norm_(x.residual);
    if (!tap(layer, x.residual.narrow(0, 0, batch.offsets[rows]))) return;
  }
}

// One copy, from pinned memory for a GPU, so that it need not be waited for.
Transformer::Inputs Transformer::Stage(const PackedTokens& batch) const {
  const int64_t tokens = RoundUp(batch.tokens(), token_multiple_), rows = batch.rows();
  const at::Tensor host =
      at::empty({2 * tokens + rows + 1}, at::TensorOptions(at::kInt).pinned_memory(device_.is_cuda()));
  int32_t* const values = host.mutable_data_ptr<int32_t>();
  std::fill_n(values, 2 * tokens, 0);
  std::copy(batch.ids.begin(), batch.ids.end(), values);
  WritePositions(arch_, batch, values + tokens);
  std::transform(batch.offsets.begin(), batch.offsets.end(), values + 2 * tokens,
                 [](int64_t offset) { return static_cast<int32_t>(offset); });
  const at::Tensor staged = host.to(device_, /*non_blocking=*/true);
  return {.ids_P = staged.narrow(0, 0, tokens),
          .positions_P = staged.narrow(0, tokens, tokens),
          .starts = staged.narrow(0, 2 * tokens, rows + 1)};
}

std::vector<RopeTable> Transformer::RopesFor(const PackedTokens& batch, const Inputs& inputs) const {
  const bool kept = Longest(batch, batch.rows()) <= rope_tokens_;
  std::vector<int64_t> offsets = batch.offsets;
  offsets.push_back(inputs.ids_P.size(0));
  std::vector<RopeTable> ropes;
  for (size_t i = 0; i < ropes_.size(); ++i) {
    ropes.push_back(kept ? RowsOf(ropes_[i], inputs.positions_P) : MakeRopeTable(arch_.ropes[i], offsets, device_));
  }
  return ropes;
}

Stream Transformer::Embed(const Inputs& inputs) const {
  at::Tensor x_PD = at::embedding(word_embedding_, inputs.ids_P).to(residual_dtype_);
  if (arch_.embedding_scale != 1) x_PD = x_PD * arch_.embedding_scale;
  if (position_embedding_.defined()) {
    x_PD = x_PD + at::embedding(position_embedding_, inputs.positions_P);
  }
  if (token_type_embedding_.defined()) x_PD = x_PD + token_type_embedding_[0];
  return arch_.embedding_norm ? AddNormed(embedding_norm_, NormPlace::kPost, x_PD, {}) : Stream{x_PD, x_PD};
}

at::Tensor Transformer::Attend(int layer, const at::Tensor& x_PD, Pass& pass) const {
  const Block& block = blocks_[layer - 1];
  const AttentionSpec& spec = arch_.attention[layer - 1];
  const int64_t keys = arch_.key_features();
  const auto by_head = [&](const at::Tensor& x) { return x.unflatten(1, {-1, arch_.head_size}); };
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
  return PackedAttention(q, k, v, pass.rows, {.scale = spec.scale, .causal = causal, .window = spec.window}, pass.masks,
                         fast_paths_.cpu_kernels);
}

at::Tensor Transformer::Widen(const Block& block, const at::Tensor& x_PD) const {
  if (!arch_.gated_mlp) return block.up.Activated(arch_.activation, x_PD);
  const at::Tensor up = block.up(x_PD);
  const int64_t width = up.size(1) / 2;
  return Activate(arch_.activation, up.narrow(1, 0, width)) * up.narrow(1, width, width);
}

Stream Transformer::AddNormed(const Norm& norm, NormPlace place, const at::Tensor& x_PD,
                              const at::Tensor& added_PD) const {
  return AddAndNorm(norm, place, x_PD, added_PD, dtype_, fast_paths_.cpu_kernels);
}

at::Tensor Transformer::InputOf(const Norm& norm, const at::Tensor& x_PD) const {
  return AddNormed(norm, NormPlace::kPre, x_PD, {}).input;
}

Stream Transformer::RunBlock(int layer, const Stream& x, Pass& pass) const {
  const Block& block = blocks_[layer - 1];
  const at::Tensor& x_PD = x.residual;
  const auto only = [](at::Tensor residual) { return Stream{.residual = std::move(residual), .input = {}}; };
  if (arch_.mixer == Mixer::kMamba) {
    return only(x_PD + RunMamba(block.mamba, InputOf(block.attention_norm, x_PD), pass.rows.groups));
  }
  const auto attention_input = [&] {
    return layer > 1 || arch_.first_attention_norm ? InputOf(block.attention_norm, x_PD) : x_PD;
  };
  switch (arch_.block_form) {
    case BlockForm::kPostNorm: {
      const at::Tensor attended_PD = block.attention_out(Attend(layer, x.input, pass));
      const Stream y = AddNormed(block.attention_norm, NormPlace::kPost, x_PD, attended_PD);
      return AddNormed(block.mlp_norm, NormPlace::kPost, y.residual, block.down(Widen(block, y.input)));
    }
    case BlockForm::kPreNorm: {
      const at::Tensor attended_PD = block.attention_out(Attend(layer, attention_input(), pass));
      const Stream y = AddNormed(block.mlp_norm, NormPlace::kPre, x_PD, attended_PD);
      return only(block.down.Added(y.residual, Widen(block, y.input)));
    }
    case BlockForm::kParallel: {
      const at::Tensor y_PD = block.attention_out.Added(x_PD, Attend(layer, attention_input(), pass));
      return only(block.down.Added(y_PD, Widen(block, InputOf(block.mlp_norm, x_PD))));
    }
    case BlockForm::kParallelShared: {
      const at::Tensor input_PD = attention_input();
      const at::Tensor y_PD = block.attention_out.Added(x_PD, Attend(layer, input_PD, pass));
      return only(block.down.Added(y_PD, Widen(block, input_PD)));
    }
    case BlockForm::kSandwich: {
      const at::Tensor attended_PD = block.attention_out(Attend(layer, attention_input(), pass));
      const Stream y = AddNormed(block.mlp_norm, NormPlace::kPre, x_PD, block.post_attention_norm(attended_PD));
      return only(y.residual + block.post_mlp_norm(block.down(Widen(block, y.input))));
    }
  }
  return x;
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
