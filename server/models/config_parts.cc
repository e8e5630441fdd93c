#include "server/models/config_parts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace midlayer {

namespace {

constexpr std::pair<std::string_view, Activation> kActivations[] = {
    {"gelu", Activation::kGelu}, {"gelu_new", Activation::kGeluTanh}, {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu}, {"silu", Activation::kSilu},         {"swish", Activation::kSilu},
};

constexpr std::pair<std::string_view, RopeScaling> kScalings[] = {
    {"default", RopeScaling::kNone},  {"linear", RopeScaling::kLinear}, {"dynamic", RopeScaling::kDynamic},
    {"llama3", RopeScaling::kLlama3}, {"yarn", RopeScaling::kYarn},
};

// The value that `table` has for `name`; where it has none, an error about `key` and the first.
template <typename T, size_t N>
T Named(ConfigReader& config, const char* key, const std::pair<std::string_view, T> (&table)[N],
        const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [known_name, value] : table) {
    if (known_name == name) return value;
    known.emplace_back(known_name);
  }
  config.Fail(key, absl::StrCat("one of ", absl::StrJoin(known, ", ")), name);
  return table[0].second;
}

// The object that describes the rope: its own in transformers 5, under another key in 4, or an empty one.
nlohmann::json RopeParameters(ConfigReader& config, const RopeDefaults& defaults) {
  const nlohmann::json none = nlohmann::json::object();
  nlohmann::json parameters = none;
  if (config.Has("rope_parameters")) {
    parameters = config.json()["rope_parameters"];
    const bool by_type = parameters.is_object() && !defaults.layer_type.empty() &&
                         (parameters.contains("full_attention") || parameters.contains("sliding_attention"));
    if (by_type) parameters = parameters.value(defaults.layer_type, none);
  } else if (defaults.scaled && config.Has("rope_scaling")) {
    parameters = config.json()["rope_scaling"];
  }
  if (parameters.is_null()) return none;
  if (!parameters.is_object()) {
    config.Fail("rope_parameters", "an object", parameters.dump());
    return none;
  }
  return parameters;
}

// What YaRN multiplies turned queries and keys by, where the checkpoint does not say.
double YarnAttentionFactor(ConfigReader& rope, double factor) {
  const auto scale = [factor](double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; };
  const double mscale = rope.DoubleOr("mscale", 0), all_dims = rope.DoubleOr("mscale_all_dim", 0);
  return rope.DoubleOr("attention_factor", mscale != 0 && all_dims != 0 ? scale(mscale) / scale(all_dims) : scale(1));
}

void ReadScaling(ConfigReader& rope, int positions, RopeSpec& spec) {
  const std::string type = rope.StringOr("rope_type", rope.StringOr("type", "default"));
  spec.scaling = Named(rope, "rope_type", kScalings, type);
  if (spec.scaling == RopeScaling::kNone) return;
  const bool of_original = spec.scaling == RopeScaling::kLlama3 || spec.scaling == RopeScaling::kYarn;
  spec.original_positions = of_original ? rope.IntOr("original_max_position_embeddings", positions, 1) : positions;
  const double reached = static_cast<double>(positions) / spec.original_positions;
  spec.factor = rope.DoubleOr("factor", spec.scaling == RopeScaling::kYarn ? reached : 0);
  if (spec.scaling == RopeScaling::kDynamic && spec.dims < 4) {
    rope.Fail("rope_type", "one other than dynamic where 2 numbers of a head are turned", type);
  }
  if (spec.factor < 1) rope.Fail("factor", "a number of at least 1", absl::StrCat(spec.factor));
  if (!of_original) return;
  if (spec.scaling == RopeScaling::kLlama3) {
    spec.low_frequency_factor = rope.DoubleOr("low_freq_factor", 1);
    spec.high_frequency_factor = rope.DoubleOr("high_freq_factor", 4);
    if (!(spec.high_frequency_factor > spec.low_frequency_factor)) {
      rope.Fail("high_freq_factor", "more than low_freq_factor", absl::StrCat(spec.high_frequency_factor));
    }
    return;
  }
  spec.beta_fast = rope.DoubleOr("beta_fast", 32);
  spec.beta_slow = rope.DoubleOr("beta_slow", 1);
  if (!(spec.beta_fast > 0 && spec.beta_slow > 0)) {
    rope.Fail("beta_fast", "it and beta_slow above 0", absl::StrCat(spec.beta_fast, " and ", spec.beta_slow));
  }
  spec.truncate = rope.BoolOr("truncate", true);
  spec.attention_factor = YarnAttentionFactor(rope, spec.factor);
  if (!std::isfinite(spec.attention_factor)) {
    rope.Fail("mscale", "a finite attention factor of it and mscale_all_dim", absl::StrCat(spec.attention_factor));
  }
}

}  // namespace

Activation ParseActivation(ConfigReader& config, const char* key, const std::string& fallback) {
  return Named(config, key, kActivations, config.StringOr(key, fallback));
}

void RefuseDecoder(ConfigReader& config) {
  if (config.BoolOr("is_decoder", false)) config.Fail("is_decoder", "false (encoders only)", "true");
}

double ReadEpsilon(ConfigReader& config, const char* key, double fallback) {
  const double epsilon = config.DoubleOr(key, fallback);
  if (epsilon < 0) config.Fail(key, "a number of at least 0", absl::StrCat(epsilon));
  return epsilon;
}

int ReadLayers(ConfigReader& config, const char* key) {
  constexpr int kMost = 10000;
  const int layers = config.Int(key);
  if (layers <= kMost) return layers;
  config.Fail(key, absl::StrCat("1 to ", kMost, " blocks"), absl::StrCat(layers));
  return 1;
}

void ReadHeads(ConfigReader& config, ArchSpec& spec, const char* key) {
  spec.heads = config.Int(key);
  spec.kv_heads = config.IntOr("num_key_value_heads", spec.heads, 1);
  if (spec.heads % spec.kv_heads != 0) {
    config.Fail("num_key_value_heads", absl::StrCat("a divisor of the ", spec.heads, " attention heads"),
                absl::StrCat(spec.kv_heads));
  }
  if (!config.Has("head_dim") && spec.hidden % spec.heads != 0) {
    config.Fail("hidden_size", absl::StrCat("a multiple of the ", spec.heads, " attention heads"),
                absl::StrCat(spec.hidden));
  }
  spec.head_size = config.IntOr("head_dim", std::max(1, spec.hidden / spec.heads), 1);
  if (int64_t{spec.heads} * spec.head_size > ConfigReader::kMaxInt) {
    config.Fail("head_dim", absl::StrCat("at most 2^28 numbers for the ", spec.heads, " attention heads together"),
                absl::StrCat(spec.head_size));
    spec.head_size = 1;
  }
}

void ReadSizes(ConfigReader& config, ArchSpec& spec) {
  spec.layers = ReadLayers(config);
  spec.hidden = config.Int("hidden_size");
  ReadHeads(config, spec);
  spec.intermediate = config.Int("intermediate_size");
  spec.vocabulary = config.Int("vocab_size");
}

void FillAttention(ArchSpec& spec, int rope) {
  spec.attention.assign(static_cast<size_t>(spec.layers),
                        {.window = 0, .rope = rope, .scale = 1 / std::sqrt(static_cast<double>(spec.head_size))});
}

RopeSpec ReadRope(ConfigReader& config, ArchSpec& spec, const RopeDefaults& defaults) {
  ConfigReader rope(config.file(), RopeParameters(config, defaults));
  RopeSpec found;
  found.theta = rope.DoubleOr("rope_theta", config.DoubleOr(defaults.theta_key, defaults.theta));
  const bool partly = defaults.partial_key != nullptr;
  const double partial =
      rope.DoubleOr("partial_rotary_factor", partly ? config.DoubleOr(defaults.partial_key, defaults.partial) : 1);
  const double dims = std::trunc(spec.head_size * partial);  // may be more than an int holds
  if (dims < 2 || std::fmod(dims, 2) != 0 || dims > spec.head_size || (partial != 1 && !partly)) {
    rope.Fail("partial_rotary_factor",
              partly ? absl::StrCat("an even number of the ", spec.head_size, " numbers of a head, at least 2")
                     : absl::StrCat("1, and heads of an even size"),
              absl::StrCat(dims, " numbers"));
  } else {
    found.dims = static_cast<int>(dims);
  }
  if (!(found.theta > 1)) rope.Fail("rope_theta", "a number above 1", absl::StrCat(found.theta));
  ReadScaling(rope, spec.positions, found);
  if (found.scaling != RopeScaling::kNone) {
    const double reached = std::clamp(found.original_positions * found.factor, 0.0, 1e9);
    spec.positions = std::max(spec.positions, static_cast<int>(reached));
  }
  config.Adopt(rope.status());
  return found;
}

std::vector<bool> ReadSlidingBlocks(ConfigReader& config, int layers, bool (*fallback)(int block, int parameter),
                                    int parameter) {
  std::vector<bool> sliding;
  if (!config.Has("layer_types")) {
    for (int block = 0; block < layers; ++block) sliding.push_back(fallback(block, parameter));
    return sliding;
  }
  const nlohmann::json& types = config.json()["layer_types"];
  if (!types.is_array() || types.size() != static_cast<size_t>(layers)) {
    config.Fail("layer_types", absl::StrCat("a list of ", layers, " layer types"), types.dump());
    return std::vector<bool>(static_cast<size_t>(layers));
  }
  static constexpr std::pair<std::string_view, bool> kTypes[] = {{"full_attention", false},
                                                                 {"sliding_attention", true}};
  for (const nlohmann::json& type : types) {
    sliding.push_back(Named(config, "layer_types", kTypes, type.is_string() ? type.get<std::string>() : type.dump()));
  }
  return sliding;
}

void SetWindows(ArchSpec& spec, const std::vector<bool>& sliding, int window, int rope) {
  for (size_t block = 0; block < sliding.size(); ++block) {
    if (!sliding[block]) continue;
    spec.attention[block].window = window;
    spec.attention[block].rope = rope;
  }
}

}  // namespace midlayer
