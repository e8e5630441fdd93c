// GPT-2 (Radford et al., 2019): pre-norm decoder with learned positions; its weights are stored input by output.
#include <cmath>

#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseGpt2(ConfigReader& config) {
  ArchSpec spec;
  spec.layers = ReadLayers(config, "n_layer");
  spec.hidden = config.Int("n_embd");
  ReadHeads(config, spec, "n_head");
  spec.intermediate = config.IntOr("n_inner", 4 * spec.hidden, 1);
  spec.vocabulary = config.Int("vocab_size");
  spec.positions = config.IntOr("n_positions", 1024, 1);
  spec.norm_epsilon = ReadEpsilon(config, "layer_norm_epsilon", 1e-5);
  spec.block_form = BlockForm::kPreNorm;
  spec.final_norm = true;
  spec.activation = ParseActivation(config, "activation_function", "gelu_new");
  spec.direction = AttentionDirection::kCausal;
  if (config.BoolOr("add_cross_attention", false)) config.Fail("add_cross_attention", "false", "true");
  FillAttention(spec, -1);
  const bool scaled = config.BoolOr("scale_attn_weights", true);
  const bool by_depth = config.BoolOr("scale_attn_by_inverse_layer_idx", false);
  for (int block = 0; block < spec.layers; ++block) {
    double& scale = spec.attention[static_cast<size_t>(block)].scale;
    if (!scaled) scale = 1;
    if (by_depth) scale /= block + 1;
  }
  return spec;
}

WeightMap Gpt2Weights() {
  return {.prefixes = {"transformer."},
          .rules = {{"wte", Slot::kWordEmbedding},
                    {"wpe", Slot::kPositionEmbedding},
                    {"h.{}.ln_1", Slot::kAttentionNorm},
                    {"h.{}.attn.c_attn", Slot::kQkv, Layout::kTransposed},
                    {"h.{}.attn.c_proj", Slot::kAttentionOut, Layout::kTransposed},
                    {"h.{}.ln_2", Slot::kMlpNorm},
                    {"h.{}.mlp.c_fc", Slot::kMlpUp, Layout::kTransposed},
                    {"h.{}.mlp.c_proj", Slot::kMlpDown, Layout::kTransposed},
                    {"ln_f", Slot::kFinalNorm}},
          .ignored = {"lm_head.", "score.", "classifier.", "qa_outputs."},
          .ignored_endings = {".attn.bias", ".attn.masked_bias"}};
}

}  // namespace midlayer
