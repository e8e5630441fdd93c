// ModernBERT (Warner et al., 2024): pre-norm encoder with rope, gated MLPs, and windows in two blocks of three.
#include "server/models/registry.h"

namespace midlayer {

namespace {

bool NotEvery(int block, int every) { return block % every != 0; }

}  // namespace

ArchSpec ParseModernBert(ConfigReader& config) {
  ArchSpec spec;
  ReadSizes(config, spec);
  spec.positions = config.IntOr("max_position_embeddings", 8192, 1);
  spec.embedding_norm = true;
  spec.norm_epsilon = ReadEpsilon(config, "norm_eps", 1e-5);
  spec.norm_bias = config.BoolOr("norm_bias", false);
  spec.block_form = BlockForm::kPreNorm;
  spec.first_attention_norm = false;
  spec.final_norm = true;
  spec.qkv_bias = spec.attention_out_bias = config.BoolOr("attention_bias", false);
  spec.mlp_bias = config.BoolOr("mlp_bias", false);
  spec.gated_mlp = true;
  spec.activation = ParseActivation(config, "hidden_activation");
  spec.position_rule = PositionRule::kNone;
  spec.ropes = {
      ReadRope(config, spec, {.theta_key = "global_rope_theta", .theta = 160000, .layer_type = "full_attention"}),
      ReadRope(config, spec, {.theta_key = "local_rope_theta", .layer_type = "sliding_attention"})};
  FillAttention(spec, 0);
  const int window = config.IntOr("local_attention", 128, 1) / 2 + 1;  // half of it on each side
  const std::vector<bool> sliding =
      ReadSlidingBlocks(config, spec.layers, NotEvery, config.IntOr("global_attn_every_n_layers", 3, 1));
  SetWindows(spec, sliding, window, 1);
  return spec;
}

WeightMap ModernBertWeights() {
  return {.prefixes = {"model."},
          .rules = {{"embeddings.tok_embeddings", Slot::kWordEmbedding},
                    {"embeddings.norm", Slot::kEmbeddingNorm},
                    {"layers.{}.attn_norm", Slot::kAttentionNorm},
                    {"layers.{}.attn.Wqkv", Slot::kQkv},
                    {"layers.{}.attn.Wo", Slot::kAttentionOut},
                    {"layers.{}.mlp_norm", Slot::kMlpNorm},
                    {"layers.{}.mlp.Wi", Slot::kMlpGateUp},
                    {"layers.{}.mlp.Wo", Slot::kMlpDown},
                    {"final_norm", Slot::kFinalNorm}},
          .ignored = {"head.", "decoder.", "classifier.", "score."}};
}

}  // namespace midlayer
