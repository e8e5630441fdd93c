#include "server/service/scoring_convert.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/digest.h"
#include "server/base/status.h"
#include "server/base/version.h"
#include "server/service/convert.h"

namespace midlayer {

namespace {

constexpr int kDefaultSample = 1000, kDefaultViews = 16, kDefaultPermutations = 32;
constexpr uint32_t kMaxViews = 64, kMaxPermutations = 1024, kMaxSkipped = 1024;

template <typename... Found>
absl::Status Invalid(absl::string_view field, absl::string_view expected, const Found&... found) {
  return absl::InvalidArgumentError(absl::StrCat("options.", field, ": expected ", expected, ", found ", found...));
}

// Enumerations of the wire begin with "unspecified", then come those of the engine in the same order.
template <typename Engine, typename Wire>
Engine FromWire(Wire wire, Engine unset) {
  return wire == 0 ? unset : static_cast<Engine>(static_cast<int>(wire) - 1);
}
template <typename Wire, typename Engine>
Wire ToWire(Engine engine) {
  return static_cast<Wire>(static_cast<int>(engine) + 1);
}
static_assert(v1::METRIC_MODE_REFERENCE_2025 == static_cast<int>(Mode::kReference2025) + 1);
static_assert(v1::ENTROPY_NORMALIZATION_LOG_N_LOG_D == static_cast<int>(EntropyNormalization::kLogNLogD) + 1);
static_assert(v1::STATE_NORMED == static_cast<int>(State::kNormed) + 1);
static_assert(v1::DIRECTION_MAX == static_cast<int>(Direction::kMax) + 1);
static_assert(v1::EVIDENCE_TASK == static_cast<int>(Evidence::kTask));
static_assert(v1::CONFIDENCE_HIGH == static_cast<int>(Confidence::kHigh));

v1::Direction FromDirection(std::optional<Direction> direction) {
  return direction.has_value() ? ToWire<v1::Direction>(*direction) : v1::DIRECTION_UNSPECIFIED;
}

absl::Status CheckEnums(const v1::ScoreOptions& options) {
  if (!v1::MetricMode_IsValid(options.mode())) return Invalid("mode", "a MetricMode", static_cast<int>(options.mode()));
  if (!v1::EntropyNormalization_IsValid(options.normalization())) {
    return Invalid("normalization", "an EntropyNormalization", static_cast<int>(options.normalization()));
  }
  if (!v1::State_IsValid(options.state())) return Invalid("state", "a State", static_cast<int>(options.state()));
  return absl::OkStatus();
}

absl::Status CheckNumbers(const v1::ScoreOptions& options) {
  if (!std::isfinite(options.alpha()) || options.alpha() < 0) {
    return Invalid("alpha", "a finite number above 0, or 0 for 1", options.alpha());
  }
  if (options.views() == 1 || options.views() > kMaxViews) {
    return Invalid("views", absl::StrCat("2 to ", kMaxViews, ", or 0 for ", kDefaultViews), options.views());
  }
  if (options.permutations() > kMaxPermutations) {
    return Invalid("permutations", absl::StrCat("at most ", kMaxPermutations), options.permutations());
  }
  if (options.skip_leading_tokens() > kMaxSkipped) {
    return Invalid("skip_leading_tokens", absl::StrCat("at most ", kMaxSkipped), options.skip_leading_tokens());
  }
  if (options.promote() && options.has_store() && !options.store()) {
    return Invalid("store", "true where promote is set", "false");
  }
  return absl::OkStatus();
}

void FillCurve(const Curve& curve, v1::MetricCurve* wire) {
  wire->set_metric(std::string(curve.metric->name));
  if (const auto pooling = ParsePooling(curve.pooling)) wire->set_pooling(FromPooling(*pooling));
  wire->set_higher_is_better(curve.direction == Direction::kMax);
  wire->set_evidence(static_cast<v1::Evidence>(curve.metric->evidence()));
  wire->set_theory(FromDirection(curve.metric->theory));
  wire->set_observed(FromDirection(curve.metric->observed));
  wire->set_examples(curve.examples);
  wire->set_best_layer(std::max(curve.best_layer, 0));
  wire->mutable_inflection_layers()->Add(curve.inflection_layers.begin(), curve.inflection_layers.end());
  wire->mutable_example_indices()->Add(curve.example_indices.begin(), curve.example_indices.end());
  for (size_t layer = 0; layer < curve.layers.size(); ++layer) {
    const LayerScore& score = curve.layers[layer];
    v1::LayerScore* to = wire->add_scores();
    to->set_layer(static_cast<int>(layer));
    to->set_value(score.value);
    if (score.standard_error.has_value()) to->set_standard_error(*score.standard_error);
    to->set_rank(static_cast<uint32_t>(score.rank));
    to->set_ties_with_best(score.ties_with_best);
    to->mutable_example_values()->Add(score.examples.begin(), score.examples.end());
  }
}

void FillOptions(const ScoreTask& task, v1::ScoreOptions* options) {
  options->set_criterion(task.criterion.text);
  options->clear_poolings();
  for (const Pooling pooling : task.poolings) options->add_poolings(FromPooling(pooling));
  options->set_sample_size(static_cast<uint32_t>(task.sample_size));
  options->set_store(!options->has_store() || options->store());
  options->set_mode(ToWire<v1::MetricMode>(task.entropy.mode));
  options->set_alpha(task.entropy.alpha);
  options->set_normalization(ToWire<v1::EntropyNormalization>(task.entropy.normalization));
  options->set_state(ToWire<v1::State>(task.state));
  options->set_views(static_cast<uint32_t>(task.views));
  options->set_permutations(static_cast<uint32_t>(task.permutations));
}

void FillCost(const ScoreCost& cost, v1::ScoreCost* wire) {
  wire->set_total_seconds(cost.total_seconds);
  wire->set_forward_seconds(cost.forward_seconds);
  wire->set_accumulate_seconds(cost.accumulate_seconds);
  wire->set_finish_seconds(cost.finish_seconds);
  wire->set_texts(cost.texts);
  wire->set_tokens(cost.tokens);
  wire->set_peak_bytes(cost.peak_bytes);
}

// The default pooling; in place of a trained one, what models have without a say.
Pooling LayerPooling(const ModelDescription& model) {
  if (!IsTrained(model.default_pooling)) return model.default_pooling;
  return model.arch.direction == AttentionDirection::kCausal ? Pooling::kLast : Pooling::kMean;
}

}  // namespace

absl::StatusOr<ScoreTask> ToScoreTask(const v1::ScoreOptions& options, const ModelInfo& model) {
  MIDLAYER_RETURN_IF_ERROR(CheckEnums(options));
  MIDLAYER_RETURN_IF_ERROR(CheckNumbers(options));
  ScoreTask task;
  task.metrics.assign(options.metrics().begin(), options.metrics().end());
  task.poolings.clear();
  for (const int wire : options.poolings()) {
    MIDLAYER_ASSIGN_OR_RETURN(const Pooling pooling,
                              ToPooling(static_cast<v1::Pooling>(wire), model, "options.poolings"));
    if (IsTrained(pooling)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "options.poolings: expected poolings that any layer has (a trained head was trained on its own), "
          "found ",
          ToAbsl(PoolingName(pooling))));
    }
    if (std::find(task.poolings.begin(), task.poolings.end(), pooling) == task.poolings.end()) {
      task.poolings.push_back(pooling);
    }
  }
  if (task.poolings.empty()) task.poolings.push_back(LayerPooling(model.description));
  MIDLAYER_ASSIGN_OR_RETURN(task.criterion, ParseCriterion(options.criterion()));
  task.sample_size = options.sample_size() == 0 ? kDefaultSample : options.sample_size();
  task.seed = options.seed();
  task.entropy = {.alpha = options.alpha() == 0 ? 1 : options.alpha(),
                  .normalization = FromWire(options.normalization(), EntropyNormalization::kMaxEntropy),
                  .mode = FromWire(options.mode(), Mode::kDefinition)};
  task.state = FromWire(options.state(), State::kRaw);
  task.without_special_tokens = options.without_special_tokens();
  task.skip_leading_tokens = static_cast<int>(options.skip_leading_tokens());
  task.views = options.views() == 0 ? kDefaultViews : static_cast<int>(options.views());
  task.permutations = options.permutations() == 0 ? kDefaultPermutations : static_cast<int>(options.permutations());
  task.stop_early = options.stop_early();
  task.example_values = options.example_values();
  const ModelDescription& description = model.description;
  if (!description.default_prompt_name.empty()) task.prompt = description.prompts.at(description.default_prompt_name);
  return task;
}

Example ToExample(v1::Example wire) {
  Example example;
  example.text = std::move(*wire.mutable_text());
  example.label = std::move(*wire.mutable_label());
  example.paired_text = std::move(*wire.mutable_paired_text());
  if (wire.has_score()) example.score = wire.score();
  example.id = std::move(*wire.mutable_id());
  for (std::string& id : *wire.mutable_relevant_ids()) example.relevant_ids.push_back(std::move(id));
  example.passage = wire.passage();
  return example;
}

std::string CacheKey(const ScoreTask& task, const Dataset& dataset, const ModelInfo& model) {
  Sha256 digest;
  digest.Update(absl::StrCat("midlayer report 1;", model.fingerprints.back(), ";", dataset.digest, ";", task.Digest()));
  return digest.Finish();
}

SelectionRecord ToRecord(const ScoreTask& task, const Dataset& dataset, const ScoreResult& result,
                         const ModelInfo& model, absl::Time now) {
  const Choice& choice = result.choice;
  SelectionRecord record{.layer = choice.layer,
                         .pooling = choice.pooling,
                         .state = task.state == State::kNormed ? "normed" : "raw",
                         .criterion = task.criterion.text,
                         .metric = std::string(choice.metric->name),
                         .value = choice.value,
                         .dataset_digest = dataset.digest,
                         .options_digest = task.Digest(),
                         .model_fingerprint = model.fingerprints[static_cast<size_t>(choice.layer)],
                         .cache_key = CacheKey(task, dataset, model),
                         .evidence = std::string(EvidenceName(choice.evidence)),
                         .confidence = std::string(ConfidenceName(choice.confidence)),
                         .created_unix_seconds = absl::ToUnixSeconds(now),
                         .reason = choice.reason};
  record.id = SelectionId(record);
  return record;
}

v1::ScoreReport ToReport(const v1::ScoreOptions& options, const ScoreTask& task, const Dataset& dataset,
                         const ScoreResult& result, const ModelInfo& model) {
  v1::ScoreReport report;
  for (const Curve& curve : result.curves) FillCurve(curve, report.add_curves());
  report.mutable_ties()->Add(result.choice.ties.begin(), result.choice.ties.end());
  for (const auto& [reason, skipped] : result.skipped) {
    v1::SkippedExamples* wire = report.add_skipped();
    wire->set_reason(reason);
    wire->set_count(skipped.count);
    wire->mutable_indices()->Add(skipped.indices.begin(), skipped.indices.end());
  }
  for (const CurveCorrelation& correlation : result.correlations) {
    v1::CurveCorrelation* wire = report.add_correlations();
    wire->set_metric(std::string(correlation.metric->name));
    wire->set_task_metric(std::string(correlation.task->name));
    if (const auto pooling = ParsePooling(correlation.pooling)) wire->set_pooling(FromPooling(*pooling));
    wire->set_spearman(correlation.spearman);
    wire->set_spearman_p(correlation.spearman_p);
    wire->set_kendall(correlation.kendall);
    wire->set_distance_correlation(correlation.distance_correlation);
  }
  FillCost(result.cost, report.mutable_cost());
  report.set_model(model.description.name);
  report.set_layers(model.description.arch.layers);
  report.set_pooled_last_layer_was_trained(model.description.pooled_last_layer_was_trained);
  report.set_examples(result.examples);
  report.set_examples_received(dataset.received);
  *report.mutable_options() = options;
  FillOptions(task, report.mutable_options());
  report.mutable_notes()->Add(result.notes.begin(), result.notes.end());
  report.set_server_version(kVersion);
  return report;
}

v1::Selection FromRecord(const SelectionRecord& record, bool promoted) {
  v1::Selection selection;
  selection.set_id(record.id);
  selection.set_layer(record.layer);
  if (const auto pooling = ParsePooling(record.pooling)) selection.set_pooling(FromPooling(*pooling));
  selection.set_criterion(record.criterion);
  selection.set_dataset_digest(record.dataset_digest);
  selection.set_model_fingerprint(record.model_fingerprint);
  selection.set_created_unix_seconds(record.created_unix_seconds);
  selection.set_reason(record.reason);
  selection.set_promoted(promoted);
  selection.set_state(record.state == "normed" ? v1::STATE_NORMED : v1::STATE_RAW);
  for (const Evidence evidence : {Evidence::kSpectral, Evidence::kSelfRetrieval, Evidence::kTask}) {
    if (record.evidence == EvidenceName(evidence)) selection.set_evidence(static_cast<v1::Evidence>(evidence));
  }
  for (const Confidence confidence : {Confidence::kLow, Confidence::kMedium, Confidence::kHigh}) {
    if (record.confidence == ConfidenceName(confidence)) {
      selection.set_confidence(static_cast<v1::Confidence>(confidence));
    }
  }
  selection.set_metric(record.metric);
  selection.set_value(record.value);
  return selection;
}

}  // namespace midlayer
