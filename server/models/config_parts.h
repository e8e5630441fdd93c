// What the config.json of several architectures have in common. Problems are left in the reader's status, as by its own
// getters.
#ifndef MIDLAYER_SERVER_MODELS_CONFIG_PARTS_H_
#define MIDLAYER_SERVER_MODELS_CONFIG_PARTS_H_

#include <string>
#include <vector>

#include "server/models/arch_spec.h"
#include "server/models/config_reader.h"

namespace midlayer {

Activation ParseActivation(ConfigReader& config, const char* key, const std::string& fallback = "gelu");

// An error where the model is the decoder half of an encoder architecture.
void RefuseDecoder(ConfigReader& config);

// What a norm adds before it takes the root: at least 0.
double ReadEpsilon(ConfigReader& config, const char* key, double fallback);

// How many blocks there are: 1 to 10,000, more is taken for a mistake.
int ReadLayers(ConfigReader& config, const char* key = "num_hidden_layers");

// Sets heads (from `key`), kv_heads (num_key_value_heads) and head_size (head_dim) of `spec`, whose hidden is set.
// Where they are absent, keys and values have as many heads as queries, and hidden is shared out among these.
void ReadHeads(ConfigReader& config, ArchSpec& spec, const char* key = "num_attention_heads");

// Sets layers, hidden, heads, intermediate and vocabulary from the keys that most architectures have for them.
void ReadSizes(ConfigReader& config, ArchSpec& spec);

// Fills spec.attention with as many blocks as there are layers: no window, `rope`, scores scaled by head_size^-1/2.
void FillAttention(ArchSpec& spec, int rope);

// Rotary position embedding of transformers-5 (rope_parameters) or -4 (rope_theta, rope_scaling). Each key may be
// absent. spec.positions, which must be set, is raised to what the scaling reaches.
// layer_type: of those in rope_parameters, where it is told by type ("full_attention"); empty: one for all.
struct RopeDefaults {
  const char* theta_key = "rope_theta";  // its name in transformers 4
  double theta = 10000;
  const char* partial_key = nullptr;  // of the part of a head that is turned, in transformers 4; null: all of it
  double partial = 1;
  std::string layer_type;
  bool scaled = true;  // whether rope_scaling of transformers 4 is of this one
};
RopeSpec ReadRope(ConfigReader& config, ArchSpec& spec, const RopeDefaults& defaults);

// Which blocks see a window only, from layer_types; where that is absent, by `fallback` (block from 0).
std::vector<bool> ReadSlidingBlocks(ConfigReader& config, int layers, bool (*fallback)(int block, int parameter),
                                    int parameter);

// Gives each block that slides (one flag for each) its window, and the rope of windowed blocks.
void SetWindows(ArchSpec& spec, const std::vector<bool>& sliding, int window, int rope);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_CONFIG_PARTS_H_
