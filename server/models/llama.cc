// Llama (Touvron et al., 2023), and what differs from it in a few numbers: Mistral (Jiang et al., 2023; a window),
// Qwen2 (Yang et al., 2024; biases, a window in the upper blocks) and Qwen3 (2025; norms of queries and keys).
#include "server/models/registry.h"

namespace midlayer {

namespace {

bool FromBlockOn(int block, int first) { return block >= first; }

// Windows of Qwen2 and Qwen3.
void ReadQwenWindows(ConfigReader& config, ArchSpec& spec) {
  const int window = config.IntOr("sliding_window", 4096, 1);
  const bool used = config.BoolOr("use_sliding_window", false);
  const std::vector<bool> sliding =
      ReadSlidingBlocks(config, spec.layers, FromBlockOn, used ? config.IntOr("max_window_layers", 28) : spec.layers);
  if (used) SetWindows(spec, sliding, window, 0);
}

}  // namespace

ArchSpec ParseLlama(ConfigReader& config) {
  ArchSpec spec;
  ReadSizes(config, spec);
  spec.positions = config.IntOr("max_position_embeddings", 2048, 1);
  spec.norm = NormKind::kRms;
  spec.norm_epsilon = ReadEpsilon(config, "rms_norm_eps", 1e-6);
  spec.block_form = BlockForm::kPreNorm;
  spec.final_norm = true;
  spec.qkv_bias = spec.attention_out_bias = config.BoolOr("attention_bias", false);
  spec.mlp_bias = config.BoolOr("mlp_bias", false);
  spec.gated_mlp = true;
  spec.activation = ParseActivation(config, "hidden_act", "silu");
  spec.direction = AttentionDirection::kCausal;
  spec.position_rule = PositionRule::kNone;
  spec.ropes = {ReadRope(config, spec, {})};
  FillAttention(spec, 0);
  return spec;
}

WeightMap LlamaWeights() {
  return {.prefixes = {"model."},
          .rules = {{"embed_tokens", Slot::kWordEmbedding},
                    {"layers.{}.input_layernorm", Slot::kAttentionNorm},
                    {"layers.{}.self_attn.q_proj", Slot::kQuery},
                    {"layers.{}.self_attn.k_proj", Slot::kKey},
                    {"layers.{}.self_attn.v_proj", Slot::kValue},
                    {"layers.{}.self_attn.o_proj", Slot::kAttentionOut},
                    {"layers.{}.post_attention_layernorm", Slot::kMlpNorm},
                    {"layers.{}.mlp.gate_proj", Slot::kMlpGate},
                    {"layers.{}.mlp.up_proj", Slot::kMlpUp},
                    {"layers.{}.mlp.down_proj", Slot::kMlpDown},
                    {"norm", Slot::kFinalNorm}},
          .ignored = {"lm_head.", "score.", "classifier.", "qa_outputs."},
          .ignored_endings = {".rotary_emb.inv_freq"}};
}

ArchSpec ParseMistral(ConfigReader& config) {
  ArchSpec spec = ParseLlama(config);
  const bool none = config.json().contains("sliding_window") && !config.Has("sliding_window");  // null
  const int window = none ? 0 : config.IntOr("sliding_window", 4096, 1);
  for (AttentionSpec& block : spec.attention) block.window = window;
  return spec;
}

ArchSpec ParseQwen2(ConfigReader& config) {
  ArchSpec spec = ParseLlama(config);
  spec.qkv_bias = true;
  spec.attention_out_bias = spec.mlp_bias = false;
  ReadQwenWindows(config, spec);
  return spec;
}

ArchSpec ParseQwen3(ConfigReader& config) {
  ArchSpec spec = ParseLlama(config);
  spec.qk_norm = true;
  spec.mlp_bias = false;
  ReadQwenWindows(config, spec);
  return spec;
}

WeightMap Qwen3Weights() {
  WeightMap map = LlamaWeights();
  map.rules.push_back({"layers.{}.self_attn.q_norm", Slot::kQueryNorm});
  map.rules.push_back({"layers.{}.self_attn.k_norm", Slot::kKeyNorm});
  return map;
}

}  // namespace midlayer
