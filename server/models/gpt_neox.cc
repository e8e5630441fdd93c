// GPT-NeoX (Black et al., 2022), the architecture of Pythia: attention and MLP side by side, part of each head is
// turned.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseGptNeoX(ConfigReader& config) {
  ArchSpec spec;
  ReadSizes(config, spec);
  spec.positions = config.IntOr("max_position_embeddings", 2048, 1);
  spec.norm_epsilon = ReadEpsilon(config, "layer_norm_eps", 1e-5);
  spec.block_form = config.BoolOr("use_parallel_residual", true) ? BlockForm::kParallel : BlockForm::kPreNorm;
  spec.final_norm = true;
  spec.qkv_bias = spec.attention_out_bias = config.BoolOr("attention_bias", true);
  spec.activation = ParseActivation(config, "hidden_act");
  spec.direction = AttentionDirection::kCausal;
  spec.position_rule = PositionRule::kNone;
  spec.ropes = {ReadRope(config, spec, {.theta_key = "rotary_emb_base", .partial_key = "rotary_pct", .partial = 0.25})};
  FillAttention(spec, 0);
  return spec;
}

WeightMap GptNeoXWeights() {
  return {.prefixes = {"gpt_neox."},
          .rules = {{"embed_in", Slot::kWordEmbedding},
                    {"layers.{}.input_layernorm", Slot::kAttentionNorm},
                    {"layers.{}.attention.query_key_value", Slot::kQkv, Layout::kByHead},
                    {"layers.{}.attention.dense", Slot::kAttentionOut},
                    {"layers.{}.post_attention_layernorm", Slot::kMlpNorm},
                    {"layers.{}.mlp.dense_h_to_4h", Slot::kMlpUp},
                    {"layers.{}.mlp.dense_4h_to_h", Slot::kMlpDown},
                    {"final_layer_norm", Slot::kFinalNorm}},
          .ignored = {"embed_out.", "lm_head.", "score.", "classifier.", "qa_outputs."},
          .ignored_endings = {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"}};
}

}  // namespace midlayer
