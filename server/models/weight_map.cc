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

// Of a projection's weight or bias.
Shape Projection(const Param& param, Layout layout, int64_t out, int64_t in) {
  if (param.bias) return {out};
  return layout == Layout::kTransposed ? Shape{in, out} : Shape{out, in};
}

Shape ShapeOf(const Param& param, Layout layout, const ArchSpec& spec) {
  const int64_t d = spec.hidden, queries = spec.query_features(), keys = spec.key_features();
  const MambaSpec& mamba = spec.mamba;
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
    case Slot::kPostAttentionNorm:
    case Slot::kMlpNorm:
    case Slot::kPostMlpNorm:
      return {d};
    case Slot::kQueryNorm:
    case Slot::kKeyNorm:
      return {spec.head_size};
    case Slot::kQuery:
      return Projection(param, layout, queries, d);
    case Slot::kKey:
    case Slot::kValue:
      return Projection(param, layout, keys, d);
    case Slot::kQkv:
      return Projection(param, layout, queries + 2 * keys, d);
    case Slot::kAttentionOut:
      return Projection(param, layout, d, queries);
    case Slot::kMlpGate:
    case Slot::kMlpUp:
      return Projection(param, layout, spec.intermediate, d);
    case Slot::kMlpGateUp:
      return Projection(param, layout, 2 * int64_t{spec.intermediate}, d);
    case Slot::kMlpDown:
      return Projection(param, layout, d, spec.intermediate);
    case Slot::kMambaIn:
      return Projection(param, layout, 2 * int64_t{mamba.inner}, d);
    case Slot::kMambaConv:
      return param.bias ? Shape{mamba.inner} : Shape{mamba.inner, 1, mamba.conv_kernel};
    case Slot::kMambaX:
      return {mamba.time_step_rank + 2 * mamba.state, mamba.inner};
    case Slot::kMambaTimeStep:
      return Projection(param, layout, mamba.inner, mamba.time_step_rank);
    case Slot::kMambaALog:
      return {mamba.inner, mamba.state};
    case Slot::kMambaD:
      return {mamba.inner};
    case Slot::kMambaOut:
      return Projection(param, layout, d, mamba.inner);
  }
  return {};
}

bool HasBias(Slot slot, const ArchSpec& spec) {
  switch (slot) {
    case Slot::kEmbeddingNorm:
    case Slot::kFinalNorm:
    case Slot::kAttentionNorm:
    case Slot::kMlpNorm:
      return spec.norm == NormKind::kLayer && spec.norm_bias;
    case Slot::kQuery:
    case Slot::kKey:
    case Slot::kValue:
    case Slot::kQkv:
      return spec.qkv_bias;
    case Slot::kAttentionOut:
      return spec.attention_out_bias;
    case Slot::kMlpGate:
    case Slot::kMlpUp:
    case Slot::kMlpGateUp:
    case Slot::kMlpDown:
      return spec.mlp_bias;
    case Slot::kMambaIn:
    case Slot::kMambaOut:
      return spec.mamba.bias;
    case Slot::kMambaConv:
      return spec.mamba.conv_bias;
    case Slot::kMambaTimeStep:
      return true;
    default:
      return false;
  }
}

// Whether `spec` has the part; of what an architecture has always, its rules are enough.
bool Exists(const Param& param, const ArchSpec& spec) {
  switch (param.slot) {
    case Slot::kTokenTypeEmbedding:
      return spec.token_types > 0;
    case Slot::kRelativeBias:
      return spec.relative_buckets > 0;
    case Slot::kFinalNorm:
      return spec.final_norm;
    case Slot::kAttentionNorm:
      return param.layer != 1 || spec.first_attention_norm;
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

// The place of the tensor of that name, and how it is laid out.
std::optional<std::pair<Param, Layout>> FindParam(const WeightMap& map, std::string_view name) {
  const auto split = SplitName(name);
  for (const WeightRule& rule : map.rules) {
    if (!rule.bare && !split) continue;
    if (const std::optional<int> number = Match(rule.module, rule.bare ? name : split->first)) {
      const bool is_bias = !rule.bare && split->second;
      return std::pair(Param{rule.slot, is_bias, IsPerBlock(rule.slot) ? *number + 1 : 0}, rule.layout);
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
    return rule.bare ? name : absl::StrCat(name, param.bias ? ".bias" : ".weight");
  }
  return "(no name)";
}

// `source` is for messages: where the tensors should have been.
absl::Status CheckComplete(const WeightMap& map, const ArchSpec& spec, int max_layer, const BoundWeights& bound,
                           const std::string& source) {
  for (const WeightRule& rule : map.rules) {
    const bool per_block = IsPerBlock(rule.slot);
    for (int layer = per_block ? 1 : 0; layer <= (per_block ? max_layer : 0); ++layer) {
      for (bool bias : {false, true}) {
        const Param param{rule.slot, bias, layer};
        if (Exists(param, spec) && (!bias || HasBias(rule.slot, spec)) && !bound.contains(param)) {
          return absl::InvalidArgumentError(absl::StrCat(source, ": tensor ", NameOf(map, param), ": expected ",
                                                         ShapeText(ShapeOf(param, rule.layout, spec)), ", found none"));
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
  for (const std::string& end : map.ignored_endings) {
    if (name.ends_with(end)) return true;
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
  for (const auto& [name, view] : tensors) {
    const std::string_view inner = WithoutPrefix(map, name);
    if (IsIgnored(map, inner)) continue;
    const auto found = FindParam(map, inner);
    if (!found || !Exists(found->first, spec) || (found->first.bias && !HasBias(found->first.slot, spec))) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": not a part of architecture ",
                                                     spec.model_type, " as config.json describes it"));
    }
    const auto& [param, layout] = *found;
    if (param.layer > spec.layers) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": block ", param.layer,
                                                     ", but config.json has ", spec.layers, " blocks"));
    }
    const Shape expected = ShapeOf(param, layout, spec);
    if (view.shape != expected) {
      return absl::InvalidArgumentError(absl::StrCat(view.file, ": tensor ", name, ": expected shape ",
                                                     ShapeText(expected), ", found ", ShapeText(view.shape)));
    }
    if (param.layer > max_layer) continue;  // checked, but never read
    if (!bound.emplace(param, BoundTensor{name, &view, layout}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(view.file, ": tensor ", name, ": a second tensor for the same place"));
    }
  }
  const std::string source = tensors.empty() ? "weights" : tensors.begin()->second.file;
  MIDLAYER_RETURN_IF_ERROR(CheckComplete(map, spec, max_layer, bound, source));
  return bound;
}

}  // namespace midlayer
