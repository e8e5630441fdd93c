// Gemma 3 (Gemma Team, 2025), text only, and EmbeddingGemma, the same with attention in both directions: norms on both
// sides of each sub-block, scaled embeddings, windows in most blocks, with a rope of their own.
#include <cmath>

#include "server/models/registry.h"

namespace midlayer {

namespace {

bool AllButEvery(int block, int pattern) { return (block + 1) % pattern != 0; }

}  // namespace

ArchSpec ParseGemma3(ConfigReader& config) {
  ArchSpec spec;
  ReadSizes(config, spec);
  spec.positions = config.IntOr("max_position_embeddings", 131072, 1);
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
  spec.norm = NormKind::kRmsPlusOne;
  spec.norm_epsilon = ReadEpsilon(config, "rms_norm_eps", 1e-6);
  spec.block_form = BlockForm::kSandwich;
  spec.final_norm = true;
  spec.qk_norm = true;
  spec.qkv_bias = spec.attention_out_bias = config.BoolOr("attention_bias", false);
  spec.mlp_bias = false;
  spec.gated_mlp = true;
  spec.activation = ParseActivation(config, "hidden_activation", "gelu_pytorch_tanh");
  const bool both = config.BoolOr("use_bidirectional_attention", false);
  spec.direction = both ? AttentionDirection::kBidirectional : AttentionDirection::kCausal;
  spec.position_rule = PositionRule::kNone;
  spec.ropes = {ReadRope(config, spec, {.theta = 1e6, .layer_type = "full_attention"}),
                ReadRope(config, spec,
                         {.theta_key = "rope_local_base_freq", .layer_type = "sliding_attention", .scaled = false})};
  FillAttention(spec, 0);
  const int window = config.IntOr("sliding_window", 4096, 1);
  const std::vector<bool> sliding =
      ReadSlidingBlocks(config, spec.layers, AllButEvery, config.IntOr("sliding_window_pattern", 6, 1));
  SetWindows(spec, sliding, both ? window / 2 + 1 : window, 1);  // in both directions it is the width of both halves
  const double scalar = config.DoubleOr("query_pre_attn_scalar", 256);
  if (!(scalar > 0)) config.Fail("query_pre_attn_scalar", "a number above 0", std::to_string(scalar));
  if (config.Has("attn_logit_softcapping")) {
    config.Fail("attn_logit_softcapping", "null, as published", config.json()["attn_logit_softcapping"].dump());
  }
  for (AttentionSpec& block : spec.attention) block.scale = 1 / std::sqrt(scalar);
  return spec;
}

WeightMap Gemma3Weights() {
  WeightMap map = Qwen3Weights();
  for (WeightRule& rule : map.rules) {
    if (rule.slot == Slot::kMlpNorm) rule.module = "layers.{}.pre_feedforward_layernorm";
  }
  map.rules.push_back({"layers.{}.post_attention_layernorm", Slot::kPostAttentionNorm});
  map.rules.push_back({"layers.{}.post_feedforward_layernorm", Slot::kPostMlpNorm});
  return map;
}

}  // namespace midlayer
