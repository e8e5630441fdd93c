#include "server/models/weight_map.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

using Shape = std::vector<int64_t>;

bool IsPerBlock(Slot slot) { return slot >= Slot::kQuery; }

std::string ShapeText(const Shape& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

Shape ShapeOf(const Param& param, const ArchSpec& spec) {
  const int64_t d = spec.hidden;
  const auto linear = [&](int64_t out, int64_t in) { return param.bias ? Shape{out} : Shape{out, in}; };
  switch (param.slot) {
    case Slot::kWordEmbedding:
      return {spec.vocabulary, d};
    case Slot::kPositionEmbedding:
      return {spec.positions, d};
    case Slot::kTokenTypeEmbedding:
      return {spec.token_types, d};
    case Slot::kRelativeBias:
      return {spec.relative_buckets, spec.heads};
    case Slot::kEmbeddingNorm:
    case Slot::kFinalNorm:
    case Slot::kAttentionNorm:
    case Slot::kMlpNorm:
      return {d};
    case Slot::kQuery:
    case Slot::kKey:
    case Slot::kValue:
    case Slot::kAttentionOut:
      return linear(d, d);
    case Slot::kMlpUp:
      return linear(spec.intermediate, d);
    case Slot::kMlpDown:
      return linear(d, spec.intermediate);
  }
  return {};
}

bool HasBias(Slot slot) {
  switch (slot) {
    case Slot::kWordEmbedding:
    case Slot::kPositionEmbedding:
    case Slot::kTokenTypeEmbedding:
    case Slot::kRelativeBias:
      return false;
    default:
      return true;
  }
}

bool Exists(Slot slot, const ArchSpec& spec) {
  switch (slot) {
    case Slot::kTokenTypeEmbedding:
      return spec.token_types > 0;
    case Slot::kRelativeBias:
      return spec.relative_buckets > 0;
    case Slot::kFinalNorm:
      return spec.final_norm;
    default:
      return true;
  }
}

// Whether `name` is `pattern` with a number for "{}"; the number, or 0 where the pattern has none.
std::optional<int> Match(std::string_view pattern, std::string_view name) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return pattern == name ? std::optional<int>(0) : std::nullopt;
  const std::string_view before = pattern.substr(0, hole), after = pattern.substr(hole + 2);
  if (!name.starts_with(before)) return std::nullopt;
  name.remove_prefix(before.size());
  if (!name.ends_with(after)) return std::nullopt;
  name.remove_suffix(after.size());
  int number = 0;
  if (name.find_first_not_of("0123456789") != std::string_view::npos || !absl::SimpleAtoi(ToAbsl(name), &number) ||
      number == std::numeric_limits<int>::max()) {  // blocks count from 1: one more must be a number too
    return std::nullopt;
  }
  return number;
}

// A module's name and whether the tensor is its bias. Checkpoints converted from TensorFlow say gamma and beta.
std::optional<std::pair<std::string_view, bool>> SplitName(std::string_view name) {
  for (std::string_view suffix : {".weight", ".gamma"}) {
    if (name.ends_with(suffix)) return std::pair(name.substr(0, name.size() - suffix.size()), false);
  }
  for (std::string_view suffix : {".bias", ".beta"}) {
    if (name.ends_with(suffix)) return std::pair(name.substr(0, name.size() - suffix.size()), true);
  }
  return std::nullopt;
}

std::optional<Param> FindParam(const WeightMap& map, std::string_view name) {
  const auto split = SplitName(name);
  if (!split) return std::nullopt;
  for (const WeightRule& rule : map.rules) {
    if (const std::optional<int> number = Match(rule.module, split->first)) {
      return Param{rule.slot, split->second, IsPerBlock(rule.slot) ? *number + 1 : 0};
    }
  }
  return std::nullopt;
}

// A tensor's name as the checkpoint would have it, for messages.
std::string NameOf(const WeightMap& map, const Param& param) {
  for (const WeightRule& rule : map.rules) {
    if (rule.slot != param.slot) continue;
    std::string name = rule.module;
    if (const size_t hole = name.find("{}"); hole != std::string::npos)
      name.replace(hole, 2, absl::StrCat(param.layer - 1));
    return absl::StrCat(name, param.bias ? ".bias" : ".weight");
  }
  return "(no name)";
}

// `source` is for messages: where the tensors should have been.
absl::Status CheckComplete(const WeightMap& map, const ArchSpec& spec, int max_layer, const BoundWeights& bound,
                           const std::string& source) {
  for (const WeightRule& rule : map.rules) {
    if (!Exists(rule.slot, spec)) continue;
    const bool per_block = IsPerBlock(rule.slot);
    for (int layer = per_block ? 1 : 0; layer <= (per_block ? max_layer : 0); ++layer) {
      for (bool bias : {false, true}) {
        const Param param{rule.slot, bias, layer};
        if ((!bias || HasBias(rule.slot)) && !bound.contains(param)) {
          return absl::InvalidArgumentError(absl::StrCat(source, ": tensor ", NameOf(map, param), ": expected ",
                                                         ShapeText(ShapeOf(param, spec)), ", found none"));
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsIgnored(const WeightMap& map, std::string_view name) {
  for (const std::string& start : map.ignored) {
    if (name.starts_with(start)) return true;
  }
  return false;
}

std::string_view WithoutPrefix(const WeightMap& map, std::string_view name) {
  for (const std::string& prefix : map.prefixes) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

absl::StatusOr<BoundWeights> Bind(const WeightMap& map, const ArchSpec& spec,
                                  const std::map<std::string, TensorView>& tensors, int max_layer) {
  BoundWeights bound;
  for (const auto& tensor : tensors) {
    const auto& [name, view] = tensor;
    const std::string_view inner = WithoutPrefix(map, name);
    if (IsIgnored(map, inner)) continue;
    const std::optional<Param> param = FindParam(map, inner);
    if (!param || !Exists(param->slot, spec) || (param->bias && !HasBias(param->slot))) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": not a part of architecture ",
                                                     spec.model_type, " as config.json describes it"));
    }
    if (param->layer > spec.layers) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": block ", param->layer,
                                                     ", but config.json has ", spec.layers, " blocks"));
    }
    const Shape expected = ShapeOf(*param, spec);
    if (view.shape != expected) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": expected shape ",
                                                     ShapeText(expected), ", found ", ShapeText(view.shape)));
    }
    if (param->layer > max_layer) continue;  // checked, but never read
    if (!bound.emplace(*param, &tensor).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(view.file, ": tensor ", name, ": a second tensor for the same place"));
    }
  }
  const std::string source = tensors.empty() ? "weights" : tensors.begin()->second.file;
  MIDLAYER_RETURN_IF_ERROR(CheckComplete(map, spec, max_layer, bound, source));
  return bound;
}

}  // namespace midlayer
