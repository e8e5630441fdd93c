#include "client/cpp/requests.h"

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace midlayer::internal {
namespace {

v1::OutputSpec ToWire(const Output& output) {
  v1::OutputSpec wire;
  for (const int layer : output.layers) wire.add_layers(layer);
  wire.set_pooling(static_cast<v1::Pooling>(output.pooling));
  wire.set_state(static_cast<v1::State>(output.state));
  wire.set_fusion(static_cast<v1::Fusion>(output.fusion));
  for (const float weight : output.weights) wire.add_weights(weight);
  if (!output.normalize) wire.set_normalize(false);
  wire.set_dimensions(output.dimensions);
  if (output.dense.has_value()) wire.set_dense(*output.dense);
  return wire;
}

absl::Status CheckUtf8(size_t place, absl::string_view field, const std::string& text) {
  size_t offset = 0;
  if (IsUtf8(text, &offset)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("examples[", place, "].", field, ": expected UTF-8, found a byte that is none at offset ", offset));
}

}  // namespace

absl::StatusOr<v1::EmbedRequest> ToWire(const EmbedOptions& options) {
  if (options.prompt_name.has_value() && options.prompt.has_value()) {
    return absl::InvalidArgumentError("prompt: expected none beside prompt_name, found both");
  }
  v1::EmbedRequest wire;
  if (options.layer.has_value()) wire.set_layer(*options.layer);
  wire.set_pooling(static_cast<v1::Pooling>(options.pooling));
  wire.set_state(static_cast<v1::State>(options.state));
  if (!options.normalize) wire.set_normalize(false);
  wire.set_dimensions(options.dimensions);
  for (const Output& output : options.outputs) *wire.add_outputs() = ToWire(output);
  wire.set_truncate(static_cast<v1::Truncate>(options.truncate));
  if (options.prompt_name.has_value()) wire.set_prompt_name(*options.prompt_name);
  if (options.prompt.has_value()) wire.set_prompt(*options.prompt);
  wire.set_format(static_cast<v1::VectorFormat>(options.format));
  wire.set_priority(static_cast<v1::Priority>(options.priority));
  wire.set_expected_selection_id(options.expected_selection_id);
  wire.set_expected_model_fingerprint(options.expected_model_fingerprint);
  return wire;
}

v1::ScoreOptions ToWire(const ScoreOptions& options) {
  v1::ScoreOptions wire;
  for (const std::string& metric : options.metrics) wire.add_metrics(metric);
  for (const Pooling pooling : options.poolings) wire.add_poolings(static_cast<v1::Pooling>(pooling));
  wire.set_criterion(options.criterion);
  wire.set_sample_size(options.sample_size);
  wire.set_seed(options.seed);
  if (!options.store) wire.set_store(false);
  wire.set_dataset_name(options.dataset_name);
  wire.set_mode(static_cast<v1::MetricMode>(options.mode));
  wire.set_alpha(options.alpha);
  wire.set_normalization(static_cast<v1::EntropyNormalization>(options.normalization));
  wire.set_state(static_cast<v1::State>(options.state));
  wire.set_without_special_tokens(options.without_special_tokens);
  wire.set_skip_leading_tokens(options.skip_leading_tokens);
  wire.set_views(options.views);
  wire.set_permutations(options.permutations);
  wire.set_refresh(options.refresh);
  wire.set_stop_early(options.stop_early);
  wire.set_promote(options.promote);
  wire.set_force(options.force);
  if (options.expected_current.has_value()) wire.set_expected_current_id(ToWireId(*options.expected_current));
  wire.set_example_values(options.example_values);
  return wire;
}

absl::StatusOr<v1::Example> ToWire(const Example& example, size_t place) {
  MIDLAYER_RETURN_IF_ERROR(CheckUtf8(place, "text", example.text));
  MIDLAYER_RETURN_IF_ERROR(CheckUtf8(place, "label", example.label.value_or("")));
  MIDLAYER_RETURN_IF_ERROR(CheckUtf8(place, "paired_text", example.paired_text.value_or("")));
  MIDLAYER_RETURN_IF_ERROR(CheckUtf8(place, "id", example.id));
  v1::Example wire;
  wire.set_text(example.text);
  if (example.label.has_value()) wire.set_label(*example.label);
  if (example.paired_text.has_value()) wire.set_paired_text(*example.paired_text);
  if (example.score.has_value()) wire.set_score(*example.score);
  wire.set_id(example.id);
  for (const std::string& id : example.relevant_ids) {
    MIDLAYER_RETURN_IF_ERROR(CheckUtf8(place, "relevant_ids", id));
    wire.add_relevant_ids(id);
  }
  wire.set_passage(example.passage);
  return wire;
}

std::string ToWireId(const std::string& id) { return id == "none" ? "" : id; }

}  // namespace midlayer::internal
