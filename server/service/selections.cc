#include "server/service/selections.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "midlayer/v1/scoring.pb.h"
#include "server/base/status.h"
#include "server/service/convert.h"
#include "spdlog/spdlog.h"

namespace midlayer {

namespace {

std::string NameOf(const std::string& id) { return id.empty() ? "none" : id; }

// The values of the metric that decided, by layer; empty where the report does not have them.
std::vector<double> DecidingCurve(const SelectionRecord& record, const absl::StatusOr<std::string>& report) {
  v1::ScoreReport wire;
  if (!report.ok() || !wire.ParseFromString(*report)) return {};
  for (const v1::MetricCurve& curve : wire.curves()) {
    const bool of_tokens = curve.pooling() == v1::POOLING_UNSPECIFIED;
    const std::optional<Pooling> pooling = ParsePooling(record.pooling);
    const bool same = of_tokens || (pooling.has_value() && FromPooling(*pooling) == curve.pooling());
    if (curve.metric() != record.metric || !same) continue;
    std::vector<double> values;
    for (const v1::LayerScore& score : curve.scores()) values.push_back(score.value());
    return values;
  }
  return {};
}

}  // namespace

Selections::Selections(std::unique_ptr<SelectionStore> store, const ModelInfo* model, const Options& options,
                       Telemetry* telemetry)
    : store_(std::move(store)),
      model_(*model),
      options_(options),
      telemetry_(*telemetry),
      promoted_(store_.get(),
                {.poll_interval = options.poll_interval,
                 .fingerprint_of_layer =
                     [model](int layer) {
                       const bool loaded = layer >= 0 && layer < static_cast<int>(model->fingerprints.size());
                       return loaded ? model->fingerprints[static_cast<size_t>(layer)] : std::string();
                     },
                 .on_change = [this](const PromotedSelection::Snapshot& snapshot) { Changed(snapshot); }}) {}

void Selections::Changed(const PromotedSelection::Snapshot& snapshot) {
  using State = PromotedSelection::State;
  const bool known = snapshot.state == State::kKnown;
  {
    std::lock_guard lock(follower_mutex_);  // first: reading the report below may take a while
    if (follower_) follower_(StoreRefusal(snapshot));
  }
  telemetry_.SelectionStoreIs(snapshot.store_up);
  telemetry_.SelectionIs(
      {.id = known ? snapshot.record.id : "",
       .layer = snapshot.record.layer,
       .pooling = snapshot.record.pooling,
       .metric = snapshot.record.metric,
       .curve = known ? DecidingCurve(snapshot.record, store_->Report(snapshot.record.id)) : std::vector<double>{}});
  if (!snapshot.problem.empty()) spdlog::warn("selection store {}: {}", store_->name(), snapshot.problem);
  if (known) spdlog::info("selection in force: {} (layer {})", snapshot.record.id, snapshot.record.layer);
}

absl::Status Selections::StoreRefusal(const PromotedSelection::Snapshot& snapshot) const {
  if (!options_.required || snapshot.state != PromotedSelection::State::kNeverKnown) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("layer: expected a number while the selection store ", store_->name(),
                                             " cannot be read: ", snapshot.problem));
}

void Selections::Follow(std::function<void(const absl::Status&)> follower) {
  std::lock_guard lock(follower_mutex_);
  follower_ = std::move(follower);
  if (follower_) follower_(StoreRefusal(*promoted_.Current()));
}

SelectionInForce Selections::InForce() const {
  using State = PromotedSelection::State;
  const std::shared_ptr<const PromotedSelection::Snapshot> snapshot = promoted_.Current();
  SelectionInForce in_force;
  switch (snapshot->state) {
    case State::kKnown:
      in_force = {.id = snapshot->record.id,
                  .layer = snapshot->record.layer,
                  .pooling = ParsePooling(snapshot->record.pooling).value_or(model_.description.default_pooling),
                  .state = snapshot->record.state == "normed" ? midlayer::State::kNormed : midlayer::State::kRaw};
      break;
    case State::kUnusable:
      in_force.id = snapshot->record.id;
      in_force.refusal = absl::FailedPreconditionError(absl::StrCat(
          "layer: expected a number, for the promoted selection cannot be used here: ", snapshot->problem));
      break;
    case State::kNeverKnown:
      in_force.refusal = StoreRefusal(*snapshot);
      break;
    case State::kNone:
      if (options_.trimmed) {
        in_force.refusal = absl::FailedPreconditionError(
            absl::StrCat("layer: expected a number, for the selection to which this server was trimmed (layer ",
                         model_.max_layer, ", --trim-to-selection) is not promoted any more: start it again"));
      }
      break;
  }
  return in_force;
}

std::optional<SelectionRecord> Selections::RecordInForce() const {
  const std::shared_ptr<const PromotedSelection::Snapshot> snapshot = promoted_.Current();
  if (snapshot->state != PromotedSelection::State::kKnown) return std::nullopt;
  return snapshot->record;
}

std::optional<Selections::Stored> Selections::FindCached(const std::string& cache_key) {
  absl::StatusOr<std::vector<SelectionRecord>> records = store_->List();
  if (!records.ok()) return std::nullopt;
  for (SelectionRecord& record : *records) {
    if (record.cache_key != cache_key) continue;
    absl::StatusOr<std::string> report = store_->Report(record.id);
    if (report.ok()) return Stored{.record = std::move(record), .report = *std::move(report)};
  }
  return std::nullopt;
}

absl::Status Selections::CheckPromotable(const SelectionRecord& record, bool force) const {
  const auto layer = static_cast<size_t>(record.layer);
  if (layer >= model_.fingerprints.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("id: expected a layer that is loaded (0 to ", model_.max_layer, "), found layer ", record.layer));
  }
  if (record.model_fingerprint != model_.fingerprints[layer]) {
    return absl::FailedPreconditionError(absl::StrCat("id: expected a selection of this model (fingerprint ",
                                                      model_.fingerprints[layer], " at layer ", record.layer,
                                                      "), found one of ", record.model_fingerprint));
  }
  if (record.evidence == "spectral" && !force) {
    return absl::FailedPreconditionError(
        "id: expected evidence of a task or of self-retrieval, found spectra alone: they say how states are spread, "
        "not "
        "whether texts are found by them, and the two often disagree. Score labels, pairs or queries, or set force");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Selections::Promote(const std::string& id,
                                                const std::optional<std::string>& expected_current, bool force,
                                                std::string_view caller) {
  if (!id.empty()) {
    MIDLAYER_ASSIGN_OR_RETURN(const SelectionRecord record, store_->Get(id));
    MIDLAYER_RETURN_IF_ERROR(CheckPromotable(record, force));
  }
  MIDLAYER_ASSIGN_OR_RETURN(std::string previous, store_->Promote(id, expected_current));
  spdlog::info("audit: {} promoted selection {} in place of {}{}", caller, NameOf(id), NameOf(previous),
               force ? " (forced)" : "");
  MIDLAYER_RETURN_IF_ERROR(Annotate(promoted_.Refresh(), "promoted, but the store could not be read again"));
  return previous;
}

absl::Status Selections::Delete(const std::string& id, std::string_view caller) {
  MIDLAYER_RETURN_IF_ERROR(store_->Delete(id));
  spdlog::info("audit: {} deleted selection {}", caller, id);
  return absl::OkStatus();
}

}  // namespace midlayer
