#include "server/models/description.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

namespace fs = std::filesystem;

constexpr std::pair<Pooling, std::string_view> kPoolings[] = {
    {Pooling::kCls, "cls"},
    {Pooling::kMean, "mean"},
    {Pooling::kLast, "last"},
    {Pooling::kMax, "max"},
    {Pooling::kWeightedMean, "weighted_mean"},
    {Pooling::kTrainedLast, "trained_last"},
    {Pooling::kTrainedMulti, "trained_multi"},
};

// What sentence-transformers calls them: since version 6 in the key pooling_mode, before as booleans of their own.
struct PoolingMode {
  std::string_view name;
  const char* boolean_key;
  std::optional<Pooling> pooling;
};
constexpr PoolingMode kPoolingModes[] = {
    {"cls", "pooling_mode_cls_token", Pooling::kCls},
    {"mean", "pooling_mode_mean_tokens", Pooling::kMean},
    {"max", "pooling_mode_max_tokens", Pooling::kMax},
    {"weightedmean", "pooling_mode_weightedmean_tokens", Pooling::kWeightedMean},
    {"lasttoken", "pooling_mode_lasttoken", Pooling::kLast},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", std::nullopt},
};

constexpr std::pair<std::string_view, DenseSpec::Activation> kDenseActivations[] = {
    {"Identity", DenseSpec::Activation::kIdentity}, {"Tanh", DenseSpec::Activation::kTanh},
    {"ReLU", DenseSpec::Activation::kRelu},         {"GELU", DenseSpec::Activation::kGelu},
    {"Sigmoid", DenseSpec::Activation::kSigmoid},
};

// A file that need not be there: an empty object in its place.
absl::StatusOr<ConfigReader> OpenOptional(const fs::path& file) {
  if (!fs::exists(file)) return ConfigReader(file.string(), nlohmann::json::object());
  return ConfigReader::Open(file);
}

absl::Status ReadArchitecture(const DescriptionOverrides& overrides, ModelDescription& model) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader config, ConfigReader::Open(model.directory / "config.json"));
  const std::string model_type = config.String("model_type");
  MIDLAYER_RETURN_IF_ERROR(config.status());
  absl::StatusOr<const Architecture*> architecture = FindArchitecture(model_type);
  if (!architecture.ok()) return Annotate(architecture.status(), config.file());
  model.architecture = *architecture;
  model.arch = model.architecture->parse(config);
  model.arch.model_type = model_type;
  MIDLAYER_RETURN_IF_ERROR(config.status());
  if (overrides.bidirectional) {
    if (model.arch.mixer != Mixer::kAttention) {
      return absl::InvalidArgumentError(
          absl::StrCat("--attention: expected auto (", model_type, " has no attention), found bidirectional"));
    }
    model.arch.direction = AttentionDirection::kBidirectional;
  }
  const bool causal = model.arch.direction == AttentionDirection::kCausal;
  model.default_pooling = overrides.default_pooling.value_or(causal ? Pooling::kLast : Pooling::kMean);
  return absl::OkStatus();
}

// The limit of sentence-transformers where there is one, else the tokenizer's; never more than the position table.
absl::Status ReadLimits(ModelDescription& model, int override_max_tokens) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader sentence, OpenOptional(model.directory / "sentence_bert_config.json"));
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader tokenizer, OpenOptional(model.directory / "tokenizer_config.json"));
  const int limit = model.arch.max_tokens();
  model.max_tokens = limit;
  if (sentence.Has("max_seq_length")) {
    model.max_tokens = std::min(limit, sentence.IntOr("max_seq_length", limit, 1));
  } else {
    // "No limit" is written as 1e30 there.
    const double length = tokenizer.DoubleOr("model_max_length", limit);
    if (length >= 1) model.max_tokens = static_cast<int>(std::min<double>(limit, length));
  }
  model.lowercase = sentence.BoolOr("do_lower_case", false);
  if (override_max_tokens > limit) {
    return absl::InvalidArgumentError(absl::StrCat("--max-tokens: expected at most ", limit,
                                                   " (the model's positions), found ", override_max_tokens));
  }
  if (override_max_tokens > 0) model.max_tokens = override_max_tokens;
  MIDLAYER_RETURN_IF_ERROR(sentence.status());
  return tokenizer.status();
}

std::vector<const PoolingMode*> ModesOf(ConfigReader& config) {
  std::vector<const PoolingMode*> modes;
  if (config.Has("pooling_mode")) {
    std::vector<std::string> names;
    for (const auto& name : config.json()["pooling_mode"].is_array()
                                ? config.json()["pooling_mode"]
                                : nlohmann::json::array({config.json()["pooling_mode"]})) {
      names.push_back(name.is_string() ? name.get<std::string>() : name.dump());
    }
    for (const std::string& name : names) {
      const auto* mode = std::find_if(std::begin(kPoolingModes), std::end(kPoolingModes),
                                      [&](const PoolingMode& m) { return m.name == name; });
      if (mode == std::end(kPoolingModes)) {
        config.Fail("pooling_mode", "cls, mean, max, weightedmean or lasttoken", name);
      } else {
        modes.push_back(mode);
      }
    }
    return modes;
  }
  for (const PoolingMode& mode : kPoolingModes) {
    if (config.BoolOr(mode.boolean_key, false)) modes.push_back(&mode);
  }
  return modes;
}

absl::Status ReadPooling(const fs::path& directory, std::optional<Pooling> override_pooling, ModelDescription& model) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader config, ConfigReader::Open(directory / "config.json"));
  model.include_prompt = config.BoolOr("include_prompt", true);
  const std::vector<const PoolingMode*> modes = ModesOf(config);
  if (!override_pooling && (modes.size() != 1 || !modes[0]->pooling)) {
    config.Fail("pooling_mode", "one of cls, mean, max, weightedmean, lasttoken (or name one with --default-pooling)",
                modes.size() == 1 ? std::string(modes[0]->name) : absl::StrCat(modes.size(), " modes"));
  } else if (!override_pooling) {
    model.default_pooling = *modes[0]->pooling;
  }
  return config.status();
}

absl::StatusOr<DenseSpec> ReadDense(const fs::path& directory) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader config, ConfigReader::Open(directory / "config.json"));
  DenseSpec dense;
  dense.directory = directory;
  dense.in_features = config.Int("in_features");
  dense.out_features = config.Int("out_features");
  dense.bias = config.BoolOr("bias", true);
  if (config.BoolOr("use_residual", false)) config.Fail("use_residual", "false", "true");
  const std::string full_name = config.StringOr("activation_function", "Tanh");
  const std::string name = full_name.substr(full_name.rfind('.') + 1);
  const auto* known = std::find_if(std::begin(kDenseActivations), std::end(kDenseActivations),
                                   [&](const auto& entry) { return entry.first == name; });
  if (known == std::end(kDenseActivations)) {
    config.Fail("activation_function", "one of Identity, Tanh, ReLU, GELU, Sigmoid", full_name);
  } else {
    dense.activation = known->second;
  }
  MIDLAYER_RETURN_IF_ERROR(config.status());
  return dense;
}

absl::Status ReadDenseChain(const std::vector<fs::path>& directories, ModelDescription& model) {
  int width = model.arch.hidden;
  for (const fs::path& directory : directories) {
    MIDLAYER_ASSIGN_OR_RETURN(DenseSpec dense, ReadDense(directory));
    if (dense.in_features != width) {
      return absl::InvalidArgumentError(absl::StrCat((directory / "config.json").string(), ": in_features: expected ",
                                                     width, ", found ", dense.in_features));
    }
    width = dense.out_features;
    model.dense.push_back(std::move(dense));
  }
  return absl::OkStatus();
}

// modules.json: which modules follow the transformer, in order.
absl::Status ReadModules(std::optional<Pooling> override_pooling, ModelDescription& model) {
  const fs::path file = model.directory / "modules.json";
  if (!fs::exists(file)) return absl::OkStatus();
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Open(file));
  if (!reader.json().is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), ": expected a JSON array, found an object"));
  }
  model.pooled_last_layer_was_trained = true;
  std::vector<fs::path> dense;
  for (const nlohmann::json& entry : reader.json()) {
    if (!entry.is_object()) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": expected objects"));
    ConfigReader module(file.string(), entry);
    const std::string type = module.String("type");
    const fs::path directory = model.directory / module.StringOr("path", "");
    MIDLAYER_RETURN_IF_ERROR(module.status());
    if (type.ends_with(".Pooling")) {
      MIDLAYER_RETURN_IF_ERROR(ReadPooling(directory, override_pooling, model));
    } else if (type.ends_with(".Dense")) {
      dense.push_back(directory);
    } else if (!type.ends_with(".Transformer") && !type.ends_with(".Normalize")) {
      module.Fail("type", "Transformer, Pooling, Dense or Normalize of sentence-transformers", type);
      return module.status();
    }
  }
  return ReadDenseChain(dense, model);
}

absl::Status ReadPrompts(ModelDescription& model) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader config, OpenOptional(model.directory / "config_sentence_transformers.json"));
  model.prompts = config.StringMapOr("prompts");
  model.default_prompt_name = config.StringOr("default_prompt_name", "");
  if (!model.default_prompt_name.empty() && !model.prompts.contains(model.default_prompt_name)) {
    config.Fail("default_prompt_name", "the name of one of the prompts", model.default_prompt_name);
  }
  return config.status();
}

}  // namespace

std::string_view PoolingName(Pooling pooling) {
  for (const auto& [known, name] : kPoolings) {
    if (known == pooling) return name;
  }
  return "unknown";
}

std::optional<Pooling> ParsePooling(std::string_view name) {
  for (const auto& [known, known_name] : kPoolings) {
    if (known_name == name) return known;
  }
  return std::nullopt;
}

absl::StatusOr<ModelDescription> DescribeModel(const fs::path& directory, const DescriptionOverrides& overrides) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat("--model: expected a directory, found none at ", directory.string()));
  }
  ModelDescription model;
  model.directory = directory;
  const fs::path path = fs::absolute(directory, error).lexically_normal();
  model.name = (path.has_filename() ? path : path.parent_path()).filename().string();
  MIDLAYER_RETURN_IF_ERROR(ReadArchitecture(overrides, model));
  MIDLAYER_RETURN_IF_ERROR(ReadLimits(model, overrides.max_tokens));
  MIDLAYER_RETURN_IF_ERROR(ReadModules(overrides.default_pooling, model));
  MIDLAYER_RETURN_IF_ERROR(ReadPrompts(model));
  return model;
}

}  // namespace midlayer
