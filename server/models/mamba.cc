// Mamba (Gu, Dao, 2023): a selective state space model; each block is one mixer behind one norm.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseMamba(ConfigReader& config) {
  constexpr int kLongest = 1 << 20;  // nothing in the architecture bounds a text
  ArchSpec spec;
  spec.mixer = Mixer::kMamba;
  spec.layers = ReadLayers(config);
  spec.hidden = config.Int("hidden_size");
  spec.vocabulary = config.Int("vocab_size");
  spec.positions = kLongest;
  spec.norm = NormKind::kRms;
  spec.norm_epsilon = ReadEpsilon(config, "layer_norm_epsilon", 1e-5);
  spec.block_form = BlockForm::kPreNorm;
  spec.final_norm = true;
  spec.activation = ParseActivation(config, "hidden_act", "silu");
  spec.direction = AttentionDirection::kCausal;
  spec.position_rule = PositionRule::kNone;
  const double inner = config.DoubleOr("expand", 2) * spec.hidden;
  if (!(inner >= 1 && inner <= ConfigReader::kMaxInt)) {
    config.Fail("expand", "a factor of hidden_size that makes 1 to 2^28 channels", std::to_string(inner));
    return spec;
  }
  spec.mamba.inner = static_cast<int>(inner);
  spec.mamba.state = config.IntOr("state_size", 16, 1);
  spec.mamba.conv_kernel = config.IntOr("conv_kernel", 4, 1);
  const bool automatic = !config.Has("time_step_rank") || config.json()["time_step_rank"] == "auto";
  spec.mamba.time_step_rank = automatic ? (spec.hidden + 15) / 16 : config.Int("time_step_rank");
  spec.mamba.bias = config.BoolOr("use_bias", false);
  spec.mamba.conv_bias = config.BoolOr("use_conv_bias", true);
  return spec;
}

WeightMap MambaWeights() {
  return {.prefixes = {"backbone."},
          .rules = {{"embeddings", Slot::kWordEmbedding},
                    {"embedding", Slot::kWordEmbedding},
                    {"layers.{}.norm", Slot::kAttentionNorm},
                    {"layers.{}.mixer.in_proj", Slot::kMambaIn},
                    {"layers.{}.mixer.conv1d", Slot::kMambaConv},
                    {"layers.{}.mixer.x_proj", Slot::kMambaX},
                    {"layers.{}.mixer.dt_proj", Slot::kMambaTimeStep},
                    {"layers.{}.mixer.A_log", Slot::kMambaALog, Layout::kPlain, /*bare=*/true},
                    {"layers.{}.mixer.D", Slot::kMambaD, Layout::kPlain, /*bare=*/true},
                    {"layers.{}.mixer.out_proj", Slot::kMambaOut},
                    {"norm_f", Slot::kFinalNorm}},
          .ignored = {"lm_head."}};
}

}  // namespace midlayer
