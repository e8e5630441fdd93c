#include "server/service/convert.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/base/version.h"
#include "server/service/vector_format.h"

namespace midlayer {

namespace {

constexpr int kMaxOutputs = 64;
constexpr int kMaxLayersOfOutput = 256;
constexpr int kInteractiveTexts = 8;  // a request of more texts is indexing, unless it says otherwise

constexpr std::pair<v1::Pooling, Pooling> kPoolings[] = {
    {v1::POOLING_CLS, Pooling::kCls},
    {v1::POOLING_MEAN, Pooling::kMean},
    {v1::POOLING_LAST, Pooling::kLast},
    {v1::POOLING_MAX, Pooling::kMax},
    {v1::POOLING_WEIGHTED_MEAN, Pooling::kWeightedMean},
    {v1::POOLING_TRAINED_LAST, Pooling::kTrainedLast},
    {v1::POOLING_TRAINED_MULTI, Pooling::kTrainedMulti},
};

// Nothing for the default, and for what is none.
std::optional<Pooling> FromWire(v1::Pooling wire) {
  for (const auto& [known, pooling] : kPoolings) {
    if (known == wire) return pooling;
  }
  return std::nullopt;
}

template <typename... Found>
absl::Status Invalid(absl::string_view field, absl::string_view expected, const Found&... found) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": expected ", expected, ", found ", found...));
}

// At most `size` bytes of UTF-8, not cut inside a character: the strings of an answer must be UTF-8 too.
std::string Cut(const std::string& text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return absl::StrCat(text.substr(0, size), "…");
}

std::string Short(const std::string& text) { return absl::StrCat("\"", Cut(text, 80), "\""); }

// Negative numbers count from the end of the whole model, also where only a part of it is loaded.
absl::StatusOr<int> ToLayer(int layer, const ModelInfo& model, absl::string_view field) {
  const int layers = model.description.arch.layers;
  const int resolved = layer < 0 ? layers + 1 + layer : layer;
  if (layer >= -(layers + 1) && layer <= layers && resolved <= model.max_layer) return resolved;
  const std::string loaded =
      model.max_layer < layers
          ? absl::StrCat(" (of ", layers, " layers only these are loaded: --max-layer or --trim-to-selection)")
          : "";
  return Invalid(
      field,
      absl::StrCat("0 to ", model.max_layer, " or ", -(layers + 1), " to ", model.max_layer - layers - 1, loaded),
      layer);
}

absl::Status ReadLayers(const v1::OutputSpec& wire, const RequestContext& context, const std::string& field,
                        OutputSpec& output) {
  const ModelInfo& model = context.model;
  if (wire.layers_size() > kMaxLayersOfOutput) {
    return Invalid(absl::StrCat(field, "layers"), absl::StrCat("at most ", kMaxLayersOfOutput), wire.layers_size());
  }
  for (int layer : wire.layers()) {
    MIDLAYER_ASSIGN_OR_RETURN(const int resolved,
                              ToLayer(layer, model, absl::StrCat(field, field.empty() ? "layer" : "layers")));
    output.layers.push_back(resolved);
  }
  if (output.layers.empty()) {
    const bool named = IsTrained(FromWire(wire.pooling()).value_or(Pooling::kMean));
    if (!named) MIDLAYER_RETURN_IF_ERROR(context.selection.refusal);
    const bool selected = !named && !context.selection.id.empty();
    const bool by_default = wire.pooling() == v1::POOLING_UNSPECIFIED && IsTrained(model.description.default_pooling);
    int layer = selected ? context.selection.layer : model.max_layer;
    if (named || (by_default && !selected)) {  // what the head was trained on
      MIDLAYER_ASSIGN_OR_RETURN(layer, ToLayer(-1, model, absl::StrCat(field, "layer")));
    }
    output.layers.push_back(layer);
    output.source = selected ? LayerSource::kSelection : LayerSource::kDefault;
  }
  return absl::OkStatus();
}

absl::Status ReadFusion(const v1::OutputSpec& wire, const std::string& field, OutputSpec& output) {
  switch (wire.fusion()) {
    case v1::FUSION_UNSPECIFIED:
    case v1::FUSION_CONCAT:
      output.fusion = Fusion::kConcat;
      break;
    case v1::FUSION_MEAN:
      output.fusion = Fusion::kMean;
      break;
    case v1::FUSION_WEIGHTED_SUM:
      output.fusion = Fusion::kWeightedSum;
      break;
    default:
      return Invalid(absl::StrCat(field, "fusion"), "a Fusion", static_cast<int>(wire.fusion()));
  }
  if (wire.fusion() != v1::FUSION_UNSPECIFIED && wire.layers_size() < 2) {
    return Invalid(absl::StrCat(field, "fusion"), "two or more layers to fuse", wire.layers_size());
  }
  output.weights.assign(wire.weights().begin(), wire.weights().end());
  const int expected = output.fusion == Fusion::kWeightedSum ? wire.layers_size() : 0;
  if (wire.weights_size() != expected) {
    return Invalid(absl::StrCat(field, "weights"),
                   absl::StrCat(expected, " (one a layer, for FUSION_WEIGHTED_SUM only)"), wire.weights_size());
  }
  for (float weight : output.weights) {
    if (!std::isfinite(weight)) return Invalid(absl::StrCat(field, "weights"), "finite numbers", weight);
  }
  return absl::OkStatus();
}

absl::Status ReadDense(const v1::OutputSpec& wire, const ModelInfo& model, const std::string& field,
                       OutputSpec& output) {
  const bool natural = output.layers == std::vector<int>{model.description.arch.layers} &&
                       output.state == State::kRaw && output.pooling == model.description.default_pooling &&
                       !IsTrained(output.pooling);
  output.dense = wire.has_dense() ? wire.dense() : natural && model.dense_features > 0;
  if (output.dense && model.dense_features == 0) {
    return Invalid(absl::StrCat(field, "dense"), "false (the model has no Dense modules)", "true");
  }
  return absl::OkStatus();
}

// Pooling and state; with the selection's layer those that it was measured with, unless the request names others.
absl::Status ReadPoolingAndState(const v1::OutputSpec& wire, const RequestContext& context, const std::string& field,
                                 OutputSpec& output) {
  MIDLAYER_ASSIGN_OR_RETURN(output.pooling, ToPooling(wire.pooling(), context.model, absl::StrCat(field, "pooling")));
  if (!v1::State_IsValid(wire.state())) {
    return Invalid(absl::StrCat(field, "state"), "a State", static_cast<int>(wire.state()));
  }
  output.state = wire.state() == v1::STATE_NORMED ? State::kNormed : State::kRaw;
  if (output.source == LayerSource::kSelection) {
    if (wire.pooling() == v1::POOLING_UNSPECIFIED) output.pooling = context.selection.pooling;
    if (wire.state() == v1::STATE_UNSPECIFIED) output.state = context.selection.state;
  }
  if (!IsTrained(output.pooling)) return absl::OkStatus();
  if (output.state != State::kRaw) {
    return Invalid(absl::StrCat(field, "state"), "STATE_RAW with a trained pooling", "STATE_NORMED");
  }
  for (const int layer : output.layers) {
    if (layer < 1) return Invalid(absl::StrCat(field, "layer"), "1 or more with a trained pooling", layer);
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputSpec> ToOutput(const v1::OutputSpec& wire, const RequestContext& context,
                                    const std::string& field) {
  const ModelInfo& model = context.model;
  OutputSpec output;
  MIDLAYER_RETURN_IF_ERROR(ReadLayers(wire, context, field, output));
  MIDLAYER_RETURN_IF_ERROR(ReadPoolingAndState(wire, context, field, output));
  MIDLAYER_RETURN_IF_ERROR(ReadFusion(wire, field, output));
  MIDLAYER_RETURN_IF_ERROR(ReadDense(wire, model, field, output));
  output.normalize = !wire.has_normalize() || wire.normalize();
  const int width = FusedWidth(output, output.dense ? model.dense_features : model.description.arch.hidden);
  if (wire.dimensions() > static_cast<uint32_t>(width)) {
    return Invalid(absl::StrCat(field, "dimensions"), absl::StrCat("at most ", width), wire.dimensions());
  }
  output.dimensions = static_cast<int>(wire.dimensions());
  return output;
}

// The short form, as an output of the long one.
v1::OutputSpec ShortForm(const v1::EmbedRequest& request) {
  v1::OutputSpec output;
  if (request.has_layer()) output.add_layers(request.layer());
  output.set_pooling(request.pooling());
  output.set_state(request.state());
  if (request.has_normalize()) output.set_normalize(request.normalize());
  output.set_dimensions(request.dimensions());
  return output;
}

absl::StatusOr<std::vector<OutputSpec>> ToOutputs(const v1::EmbedRequest& request, const RequestContext& context) {
  std::vector<OutputSpec> outputs;
  const v1::OutputSpec short_form = ShortForm(request);
  if (request.outputs().empty()) {
    MIDLAYER_ASSIGN_OR_RETURN(OutputSpec output, ToOutput(short_form, context, ""));
    outputs.push_back(std::move(output));
    return outputs;
  }
  if (short_form.ByteSizeLong() > 0) {
    return Invalid("outputs", "layer, pooling, state, normalize and dimensions unset beside them", "one of these set");
  }
  if (request.outputs_size() > kMaxOutputs) {
    return Invalid("outputs", absl::StrCat("at most ", kMaxOutputs), request.outputs_size());
  }
  for (int i = 0; i < request.outputs_size(); ++i) {
    MIDLAYER_ASSIGN_OR_RETURN(OutputSpec output,
                              ToOutput(request.outputs(i), context, absl::StrCat("outputs[", i, "].")));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

absl::Status CheckTexts(const v1::EmbedRequest& request, const RequestLimits& limits) {
  if (request.texts_size() < 1 || request.texts_size() > limits.max_texts) {
    return Invalid("texts",
                   absl::StrCat("1 to ", limits.max_texts, " texts (EmbedStream takes more, message by message)"),
                   request.texts_size());
  }
  for (int i = 0; i < request.texts_size(); ++i) {
    if (request.texts(i).size() > static_cast<size_t>(limits.max_text_bytes)) {
      return Invalid(absl::StrCat("texts[", i, "]"), absl::StrCat("at most ", limits.max_text_bytes, " bytes"),
                     request.texts(i).size());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChoosePrompt(const v1::EmbedRequest& request, const ModelInfo& model) {
  const auto& prompts = model.description.prompts;
  if (request.has_prompt()) return request.prompt();
  const std::string& name = request.has_prompt_name() ? request.prompt_name() : model.description.default_prompt_name;
  if (name.empty() && !request.has_prompt_name()) return std::string();
  if (const auto found = prompts.find(name); found != prompts.end()) return found->second;
  std::string known = prompts.empty() ? "no name (the model has no prompts)" : "one of";
  for (const auto& [known_name, prompt] : prompts) absl::StrAppend(&known, " ", known_name);
  return Invalid("prompt_name", known, Short(name));
}

absl::Status CheckExpectations(const v1::EmbedRequest& request, const std::vector<OutputSpec>& outputs,
                               const RequestContext& context) {
  if (!request.expected_selection_id().empty() && request.expected_selection_id() != context.selection.id) {
    const std::string found = context.selection.id.empty() ? "none" : Short(context.selection.id);
    return absl::FailedPreconditionError(
        absl::StrCat("expected_selection_id: expected ", Short(request.expected_selection_id()), ", found ", found));
  }
  const std::string& fingerprint = context.model.fingerprints[DeepestLayer(SlotsOf(outputs))];
  if (!request.expected_model_fingerprint().empty() && request.expected_model_fingerprint() != fingerprint) {
    return absl::FailedPreconditionError(absl::StrCat("expected_model_fingerprint: expected ",
                                                      Short(request.expected_model_fingerprint()), ", found \"",
                                                      fingerprint, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<Truncation> ToTruncation(v1::Truncate truncate) {
  switch (truncate) {
    case v1::TRUNCATE_UNSPECIFIED:
    case v1::TRUNCATE_NONE:
      return Truncation::kNone;
    case v1::TRUNCATE_LEFT:
      return Truncation::kLeft;
    case v1::TRUNCATE_RIGHT:
      return Truncation::kRight;
    default:
      return Invalid("truncate", "a Truncate", static_cast<int>(truncate));
  }
}

absl::StatusOr<Priority> ToPriority(const v1::EmbedRequest& request, Priority unset) {
  switch (request.priority()) {
    case v1::PRIORITY_UNSPECIFIED:
      return request.texts_size() > kInteractiveTexts ? Priority::kBulk : unset;
    case v1::PRIORITY_INTERACTIVE:
      return Priority::kInteractive;
    case v1::PRIORITY_BULK:
      return Priority::kBulk;
    default:
      return Invalid("priority", "a Priority", static_cast<int>(request.priority()));
  }
}

v1::LayerSource FromSource(LayerSource source) {
  switch (source) {
    case LayerSource::kRequest:
      return v1::LAYER_SOURCE_REQUEST;
    case LayerSource::kSelection:
      return v1::LAYER_SOURCE_SELECTION;
    case LayerSource::kDefault:
      return v1::LAYER_SOURCE_DEFAULT;
  }
  return v1::LAYER_SOURCE_UNSPECIFIED;
}

v1::Fusion FromFusion(const OutputSpec& output) {
  if (output.layers.size() < 2) return v1::FUSION_UNSPECIFIED;
  switch (output.fusion) {
    case Fusion::kConcat:
      return v1::FUSION_CONCAT;
    case Fusion::kMean:
      return v1::FUSION_MEAN;
    case Fusion::kWeightedSum:
      return v1::FUSION_WEIGHTED_SUM;
  }
  return v1::FUSION_UNSPECIFIED;
}

void DescribeOutput(const OutputSpec& output, const ModelInfo& model, v1::OutputInfo* info) {
  info->mutable_layers()->Add(output.layers.begin(), output.layers.end());
  info->set_pooling(FromPooling(output.pooling));
  info->set_state(output.state == State::kNormed ? v1::STATE_NORMED : v1::STATE_RAW);
  info->set_fusion(FromFusion(output));
  info->set_normalized(output.normalize);
  const int width = FusedWidth(output, output.dense ? model.dense_features : model.description.arch.hidden);
  info->set_dimensions(static_cast<uint32_t>(output.dimensions > 0 ? output.dimensions : width));
  info->set_dense(output.dense);
  info->set_layer_source(FromSource(output.source));
}

}  // namespace

absl::StatusOr<Pooling> ToPooling(v1::Pooling wire, const ModelInfo& model, absl::string_view field) {
  if (wire == v1::POOLING_UNSPECIFIED) return model.description.default_pooling;
  const std::optional<Pooling> pooling = FromWire(wire);
  if (!pooling) return Invalid(field, "a Pooling", static_cast<int>(wire));
  if (IsTrained(*pooling) && pooling != model.trained_pooling) {
    const std::string_view served = model.trained_pooling ? PoolingName(*model.trained_pooling) : "none";
    return Invalid(
        field, absl::StrCat("a pooling of this server, whose trained head (--pooling-head) is for ", ToAbsl(served)),
        ToAbsl(PoolingName(*pooling)));
  }
  return *pooling;
}

v1::Pooling FromPooling(Pooling pooling) {
  for (const auto& [wire, known] : kPoolings) {
    if (known == pooling) return wire;
  }
  return v1::POOLING_UNSPECIFIED;
}

absl::StatusOr<EmbedTask> ToTask(v1::EmbedRequest request, const RequestContext& context, Priority unset_priority) {
  const RequestLimits& limits = context.limits;
  MIDLAYER_RETURN_IF_ERROR(CheckTexts(request, limits));
  if (!v1::VectorFormat_IsValid(request.format())) {
    return Invalid("format", "a VectorFormat", static_cast<int>(request.format()));
  }
  EmbedTask task;
  MIDLAYER_ASSIGN_OR_RETURN(task.outputs, ToOutputs(request, context));
  MIDLAYER_ASSIGN_OR_RETURN(task.truncation, ToTruncation(request.truncate()));
  MIDLAYER_ASSIGN_OR_RETURN(task.priority, ToPriority(request, unset_priority));
  MIDLAYER_ASSIGN_OR_RETURN(task.prompt, ChoosePrompt(request, context.model));
  if (task.prompt.size() > static_cast<size_t>(limits.max_text_bytes)) {
    return Invalid("prompt", absl::StrCat("at most ", limits.max_text_bytes, " bytes"), task.prompt.size());
  }
  MIDLAYER_RETURN_IF_ERROR(CheckExpectations(request, task.outputs, context));
  for (std::string& text : *request.mutable_texts()) task.texts.push_back(std::move(text));
  return task;
}

v1::EmbedResponse ToResponse(const EmbedResult& result, const AnswerFacts& facts, const ModelInfo& model) {
  const v1::VectorFormat format =
      facts.format == v1::VECTOR_FORMAT_UNSPECIFIED ? v1::VECTOR_FORMAT_FLOAT32 : facts.format;
  v1::EmbedResponse response;
  for (const TextResult& text : result.texts) {
    v1::Embedding* embedding = response.add_embeddings();
    embedding->set_tokens(static_cast<uint32_t>(text.tokens));
    embedding->set_truncated(text.truncated);
    for (const std::vector<float>& vector : text.vectors) EncodeVector(vector, format, embedding->add_vectors());
  }
  for (const OutputSpec& output : facts.outputs) DescribeOutput(output, model, response.add_outputs());
  response.set_format(format);
  response.set_selection_id(facts.selection_id);
  response.set_model_fingerprint(model.fingerprints[DeepestLayer(SlotsOf(facts.outputs))]);
  v1::Timing* timing = response.mutable_timing();
  timing->set_tokenize_seconds(absl::ToDoubleSeconds(result.timing.tokenize));
  timing->set_queue_seconds(absl::ToDoubleSeconds(result.timing.queue));
  timing->set_forward_seconds(absl::ToDoubleSeconds(result.timing.forward));
  return response;
}

v1::GetModelResponse DescribeForWire(const ModelInfo& model, const RequestLimits& limits) {
  const ModelDescription& description = model.description;
  v1::GetModelResponse response;
  response.set_name(description.name);
  response.set_architecture(description.arch.model_type);
  response.set_layers(description.arch.layers);
  response.set_attention(AttentionDirectionName(description.arch.direction));
  for (const auto& [wire, pooling] : kPoolings) {
    if (!IsTrained(pooling) || pooling == model.trained_pooling) response.add_poolings(wire);
  }
  response.set_max_layer(model.max_layer);
  response.set_hidden_size(description.arch.hidden);
  response.set_max_tokens(description.max_tokens);
  response.set_default_pooling(FromPooling(description.default_pooling));
  response.set_has_final_norm(description.arch.final_norm);
  response.set_dense_dimensions(model.dense_features);
  for (const auto& [name, prompt] : description.prompts) (*response.mutable_prompts())[name] = prompt;
  response.set_default_prompt_name(description.default_prompt_name);
  response.set_dtype(model.dtype);
  response.set_device(model.device);
  for (const std::string& fingerprint : model.fingerprints) response.add_fingerprints(fingerprint);
  response.set_max_texts(limits.max_texts);
  response.set_max_text_bytes(limits.max_text_bytes);
  response.set_max_message_bytes(limits.max_message_bytes);
  response.set_max_waiting_texts(limits.max_waiting_texts);
  response.set_max_outputs(kMaxOutputs);
  response.set_server_version(kVersion);
  return response;
}

grpc::Status ToGrpc(const absl::Status& status) {
  constexpr size_t kMaxMessage = 2048;  // gRPC's default limit of all metadata is 8 KiB, and non-ASCII triples in size
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), Cut(std::string(status.message()), kMaxMessage));
}

std::string_view CodeName(absl::StatusCode code) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (int i = 0; i <= 16; ++i) all.push_back(absl::StatusCodeToString(static_cast<absl::StatusCode>(i)));
    return all;
  }();
  const auto index = static_cast<size_t>(code);
  return index < names.size() ? names[index] : names[2];
}

}  // namespace midlayer
