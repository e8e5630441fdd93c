// GPT-J (Wang, Komatsuzaki, 2021): attention and MLP side by side behind one norm; part of each head is turned, in
// neighbouring pairs.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseGptJ(ConfigReader& config) {
  ArchSpec spec = ParseGpt2(config);
  spec.positions = config.IntOr("n_positions", 2048, 1);
  spec.block_form = BlockForm::kParallelShared;
  spec.qkv_bias = spec.attention_out_bias = false;
  spec.position_rule = PositionRule::kNone;
  const int dims = config.Has("rotary_dim") ? config.Int("rotary_dim", 2) : spec.head_size;
  if (dims % 2 != 0 || dims > spec.head_size) {
    config.Fail("rotary_dim", "an even number, at most the head size " + std::to_string(spec.head_size),
                std::to_string(dims));
  }
  spec.ropes = {{.dims = dims, .interleaved = true}};
  FillAttention(spec, 0);
  return spec;
}

WeightMap GptJWeights() {
  return {.prefixes = {"transformer."},
          .rules = {{"wte", Slot::kWordEmbedding},
                    {"h.{}.ln_1", Slot::kAttentionNorm},
                    {"h.{}.attn.q_proj", Slot::kQuery},
                    {"h.{}.attn.k_proj", Slot::kKey},
                    {"h.{}.attn.v_proj", Slot::kValue},
                    {"h.{}.attn.out_proj", Slot::kAttentionOut},
                    {"h.{}.mlp.fc_in", Slot::kMlpUp},
                    {"h.{}.mlp.fc_out", Slot::kMlpDown},
                    {"ln_f", Slot::kFinalNorm}},
          .ignored = {"lm_head.", "score.", "qa_outputs."},
          .ignored_endings = {".attn.bias", ".attn.masked_bias", ".attn.embed_positions"}};
}

}  // namespace midlayer
