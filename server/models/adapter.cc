#include "server/models/adapter.h"

#include <re2/re2.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/parse_json.h"
#include "server/base/read_file.h"
#include "server/base/status.h"
#include "server/models/config_reader.h"

namespace midlayer {

namespace {

namespace fs = std::filesystem;

constexpr char kConfig[] = "adapter_config.json";
constexpr char kTensors[] = "adapter_model.safetensors";
constexpr char kPickle[] = "adapter_model.bin";
constexpr std::string_view kPrefix = "base_model.model.";

// Keys whose value may be true, an object or a list in the configuration of a plain LoRA: those read here, and those
// that only guided the training.
constexpr std::string_view kHarmlessKeys[] = {
    "alpha_pattern",       "auto_mapping",   "corda_config",   "ensure_weight_tying", "eva_config",
    "exclude_modules",     "fan_in_fan_out", "inference_mode", "init_lora_weights",   "layers_pattern",
    "layers_to_transform", "lora_ga_config", "merge_weights",  "rank_pattern",        "runtime_config",
    "target_modules",      "use_rslora"};

using NamedTensor = std::pair<const std::string, TensorView>;

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

// A JSON value for a message: lists may be long.
std::string Shown(const nlohmann::json& value) {
  constexpr size_t kMost = 80;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() <= kMost ? text : absl::StrCat(text.substr(0, kMost), "…");
}

// PEFT's rank_pattern and alpha_pattern: values for modules that a regular expression matches.
class Pattern {
 public:
  // The first one that matches decides, as in PEFT's get_pattern_key(), so `object` must be in the file's order.
  static Pattern Read(const char* key, const nlohmann::ordered_json& object, ConfigReader& config) {
    Pattern pattern;
    if (object.is_null()) return pattern;
    if (!object.is_object()) config.Fail(key, "an object of numbers", Shown(object));
    for (const auto& [expression, value] : object.items()) {
      if (!value.is_number()) config.Fail(key, "an object of numbers", Shown(value));
      if (!config.status().ok()) return pattern;
      // Groups and anchors exactly as in PEFT: an expression with a "|" outside of its own groups binds there too.
      auto compiled = std::make_unique<RE2>(absl::StrCat("^(?:(.*\\.)?(", expression, ")$)"), RE2::Quiet);
      if (!compiled->ok()) config.Fail(key, absl::StrCat("a regular expression (", compiled->error(), ")"), expression);
      pattern.values_.emplace_back(std::move(compiled), value.get<double>());
    }
    return pattern;
  }

  double ValueOf(const std::string& module, double fallback) const {
    for (const auto& [expression, value] : values_) {
      if (RE2::PartialMatch(module, *expression)) return value;
    }
    return fallback;
  }

 private:
  std::vector<std::pair<std::unique_ptr<RE2>, double>> values_;
};

// What adapter_config.json says about the deltas.
struct Config {
  double rank = 0;
  double alpha = 0;
  Pattern ranks;
  Pattern alphas;
  bool rank_stabilised = false;
  bool fan_in_fan_out = false;
  std::string base_model;

  double RankOf(const std::string& module) const { return ranks.ValueOf(module, rank); }

  double ScaleOf(const std::string& module) const {
    const double r = RankOf(module);
    return alphas.ValueOf(module, alpha) / (rank_stabilised ? std::sqrt(r) : r);
  }
};

// Whether a key that is not known leaves a plain LoRA what it is. Variants of LoRA are switched on by true, by an
// object or by a list; numbers and strings only set them up.
bool IsOff(const nlohmann::json& value) {
  return value.is_null() || value == false || value.is_number() || value.is_string() ||
         (value.is_structured() && value.empty());
}

// Refuses what would make a merge of scale · B A wrong.
void CheckPlain(ConfigReader& config) {
  const auto quoted = [](const std::string& text) { return absl::StrCat("\"", text, "\""); };
  if (const std::string type = config.String("peft_type"); type != "LORA") {
    config.Fail("peft_type", "\"LORA\"", quoted(type));
  }
  if (const std::string bias = config.StringOr("bias", "none"); bias != "none") {
    config.Fail("bias", "\"none\"", quoted(bias));
  }
  if (config.Has("init_lora_weights")) {
    // Others (PiSSA, OLoRA, CorDA, LoftQ) train on a base that they changed.
    const nlohmann::json& init = config.json()["init_lora_weights"];
    if (!init.is_boolean() && init != "gaussian") {
      config.Fail("init_lora_weights", "true, false or \"gaussian\"", Shown(init));
    }
  }
  for (const auto& [key, value] : config.json().items()) {
    if (std::ranges::find(kHarmlessKeys, key) == std::end(kHarmlessKeys) && !IsOff(value)) {
      config.Fail(key.c_str(), "null, false or empty (only plain LoRA can be merged)", Shown(value));
    }
  }
}

absl::StatusOr<Config> ReadConfig(const fs::path& file) {
  MIDLAYER_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Open(file));
  CheckPlain(reader);
  Config config;
  config.rank = reader.Int("r");
  if (!reader.Has("lora_alpha")) reader.Fail("lora_alpha", "a number", "nothing");
  config.alpha = reader.DoubleOr("lora_alpha", 0);
  config.rank_stabilised = reader.BoolOr("use_rslora", false);
  config.fan_in_fan_out = reader.BoolOr("fan_in_fan_out", false);
  config.base_model = reader.StringOr("base_model_name_or_path", "");
  MIDLAYER_RETURN_IF_ERROR(reader.status());
  // Read once more: ConfigReader sorts the keys of an object.
  MIDLAYER_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  auto ordered = ParseJson<nlohmann::ordered_json>(text);
  if (!ordered.is_object())
    return absl::InvalidArgumentError(absl::StrCat(file.string(), ": changed while it was read"));
  config.ranks = Pattern::Read("rank_pattern", ordered["rank_pattern"], reader);
  config.alphas = Pattern::Read("alpha_pattern", ordered["alpha_pattern"], reader);
  MIDLAYER_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> OpenTensors(const fs::path& directory) {
  std::error_code ignored;
  const fs::path pickle = directory / kPickle;
  if (!fs::exists(directory / kTensors, ignored) && fs::exists(pickle, ignored)) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory.string(), ": expected ", kTensors, ", found only ", kPickle, "; convert it with: python -c ",
        "\"import torch, safetensors.torch as s; s.save_file(torch.load('", pickle.string(),
        "', map_location='cpu', weights_only=True), '", (directory / kTensors).string(), "')\""));
  }
  return SafetensorsFile::Open(directory / kTensors);
}

// The two factors of a module.
struct Factors {
  const NamedTensor* a = nullptr;
  const NamedTensor* b = nullptr;
};

struct FactorName {
  std::string module;
  bool is_b = false;
};

std::optional<FactorName> ParseName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  // PEFT takes the adapter's name out when it saves; other programs leave it.
  for (std::string_view adapter : {"", ".default"}) {
    for (bool is_b : {false, true}) {
      const std::string suffix = absl::StrCat(is_b ? ".lora_B" : ".lora_A", ToAbsl(adapter), ".weight");
      if (name.ends_with(suffix)) return FactorName{std::string(name.substr(0, name.size() - suffix.size())), is_b};
    }
  }
  return std::nullopt;
}

absl::Status TensorError(const NamedTensor& tensor, std::string_view expected, std::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(tensor.second.file, ": tensor ", tensor.first, ": expected ",
                                                 ToAbsl(expected), ", found ", ToAbsl(found)));
}

// By module. Every tensor must be a factor, and none may lack the other one.
absl::StatusOr<std::map<std::string, Factors>> PairFactors(const std::map<std::string, TensorView>& tensors) {
  std::map<std::string, Factors> pairs;
  for (const NamedTensor& tensor : tensors) {
    const std::optional<FactorName> name = ParseName(tensor.first);
    if (!name) {
      return TensorError(tensor, "base_model.model.MODULE.lora_A.weight or lora_B.weight",
                         "a tensor that is not a factor of a linear layer's LoRA");
    }
    Factors& pair = pairs[name->module];
    const NamedTensor*& place = name->is_b ? pair.b : pair.a;
    if (place != nullptr) return TensorError(tensor, "one tensor for this place", absl::StrCat(place->first, " too"));
    place = &tensor;
  }
  for (const auto& [module, pair] : pairs) {
    if (pair.a == nullptr) return TensorError(*pair.b, absl::StrCat("lora_A of ", module, " beside it"), "none");
    if (pair.b == nullptr) return TensorError(*pair.a, absl::StrCat("lora_B of ", module, " beside it"), "none");
  }
  return pairs;
}

// `rank_dimension` is where the shape has the rank: 0 for A, 1 for B.
absl::Status CheckFactor(const NamedTensor& tensor, size_t rank_dimension, double rank) {
  const TensorView& view = tensor.second;
  switch (view.type) {
    case TensorType::kFloat32:
    case TensorType::kFloat16:
    case TensorType::kBFloat16:
    case TensorType::kFloat64:
      break;
    default:
      return TensorError(tensor, "a tensor of type F32, F16, BF16 or F64", view.dtype);
  }
  if (view.shape.size() != 2) return TensorError(tensor, "2 dimensions", absl::StrCat("shape ", ShapeText(view.shape)));
  const int64_t found = view.shape[rank_dimension];
  if (found < 1 || static_cast<double>(found) != rank) {
    return TensorError(tensor, absl::StrCat("rank ", rank, " as in ", kConfig),
                       absl::StrCat(found, " in shape ", ShapeText(view.shape)));
  }
  return absl::OkStatus();
}

absl::StatusOr<LoraDelta> MakeDelta(const std::string& module, const Factors& factors, const Config& config) {
  const double rank = config.RankOf(module);
  MIDLAYER_RETURN_IF_ERROR(CheckFactor(*factors.a, 0, rank));
  MIDLAYER_RETURN_IF_ERROR(CheckFactor(*factors.b, 1, rank));
  return LoraDelta{factors.a->second, factors.b->second, config.ScaleOf(module), config.fan_in_fan_out};
}

void HashTensor(const TensorView& view, Sha256& digest) {
  digest.Update(absl::StrCat("|", view.dtype, ShapeText(view.shape), "="));
  digest.Update(std::span<const std::byte>(view.data.data(), view.data.size()));
}

// The weight's layout from its shape, or nothing where the shape is not that of the delta.
std::optional<bool> IsTransposed(const LoraDelta& delta, const TensorView& weight) {
  const int64_t out = delta.b.shape[0], in = delta.a.shape[1];
  const bool plain = weight.shape == std::vector<int64_t>{out, in};
  const bool transposed = weight.shape == std::vector<int64_t>{in, out};
  if (plain && transposed) return delta.fan_in_fan_out;
  if (plain || transposed) return transposed;
  return std::nullopt;
}

// Whether `weight` is what the delta was trained on. `config` is the path of adapter_config.json.
absl::Status CheckWeight(const std::string& module, const LoraDelta& delta, const NamedTensor& weight,
                         const std::string& config) {
  const std::string shape = ShapeText(weight.second.shape);
  const std::optional<bool> transposed = IsTransposed(delta, weight.second);
  if (!transposed) {
    return absl::InvalidArgumentError(absl::StrCat(delta.a.file, ": module ", module,
                                                   ": adapter for another base: lora_B ", ShapeText(delta.b.shape),
                                                   " and lora_A ", ShapeText(delta.a.shape), " do not make the shape ",
                                                   shape, " of tensor ", weight.first, " in ", weight.second.file));
  }
  // Believing the shape here would leave square weights, whose shape tells nothing, to a setting that is wrong.
  if (*transposed != delta.fan_in_fan_out) {
    return absl::InvalidArgumentError(
        absl::StrCat(config, ": fan_in_fan_out: expected ", *transposed ? "true" : "false", ", as tensor ",
                     weight.first, " of shape ", shape, " is stored, found ", *transposed ? "false" : "true"));
  }
  return absl::OkStatus();
}

// What changes the merged weight: factors and scale, but no name.
void HashDelta(const LoraDelta& delta, Sha256& digest) {
  digest.Update(
      absl::StrCat("|lora ", absl::Hex(std::bit_cast<uint64_t>(delta.scale)), delta.fan_in_fan_out ? "t" : ""));
  HashTensor(delta.a, digest);
  HashTensor(delta.b, digest);
}

}  // namespace

absl::StatusOr<Adapter> Adapter::Open(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    return absl::NotFoundError(absl::StrCat(directory.string(), ": expected a directory with an adapter"));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const Config config, ReadConfig(directory / kConfig));
  Adapter adapter;
  adapter.directory_ = directory.string();
  adapter.base_model_ = config.base_model;
  MIDLAYER_ASSIGN_OR_RETURN(adapter.file_, OpenTensors(directory));
  MIDLAYER_ASSIGN_OR_RETURN(const auto pairs, PairFactors(adapter.file_->tensors()));
  if (pairs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat((directory / kTensors).string(), ": expected tensors of an adapter, found none"));
  }
  for (const auto& [module, factors] : pairs) {
    MIDLAYER_ASSIGN_OR_RETURN(adapter.deltas_[module], MakeDelta(module, factors, config));
  }
  return adapter;
}

absl::StatusOr<BoundDeltas> Adapter::Bind(const WeightMap& map,
                                          const std::map<std::string, TensorView>& tensors) const {
  std::map<std::string_view, const NamedTensor*> by_inner_name;
  for (const NamedTensor& tensor : tensors) by_inner_name.emplace(WithoutPrefix(map, tensor.first), &tensor);
  BoundDeltas bound;
  for (const auto& [module, delta] : deltas_) {
    const std::string inner = absl::StrCat(ToAbsl(WithoutPrefix(map, module)), ".weight");
    if (IsIgnored(map, inner)) continue;
    const auto weight = by_inner_name.find(inner);
    if (weight == by_inner_name.end()) {
      return absl::InvalidArgumentError(absl::StrCat(delta.a.file, ": module ", module,
                                                     ": adapter for another base: no tensor ", inner, " in the model"));
    }
    MIDLAYER_RETURN_IF_ERROR(CheckWeight(module, delta, *weight->second, (fs::path(directory_) / kConfig).string()));
    if (!bound.emplace(weight->second->first, delta).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(delta.a.file, ": module ", module, ": a second delta for tensor ", weight->second->first));
    }
  }
  return bound;
}

std::string Adapter::NoteOnBase(std::string_view model_name) const {
  std::string_view base = base_model_;
  while (base.ends_with('/')) base.remove_suffix(1);
  const std::string_view name = base.substr(base.rfind('/') + 1);  // npos + 1 is 0
  if (name.empty() || name == model_name) return "";
  return absl::StrCat("adapter ", directory_, " was made for ", ToAbsl(base), ", and is merged into ",
                      ToAbsl(model_name));
}

std::string Adapter::Digest() const {
  Sha256 digest;
  for (const auto& [module, delta] : deltas_) {
    digest.Update(absl::StrCat("|", module));
    HashDelta(delta, digest);
  }
  return digest.Finish();
}

}  // namespace midlayer
