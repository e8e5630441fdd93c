#include "server/selection/promoted_selection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

// A selection that is taken back and deleted between the two steps of a reading is read again; no store does so for
// ever.
constexpr int kReadings = 5;

bool Same(const PromotedSelection::Snapshot& a, const PromotedSelection::Snapshot& b) {
  return a.state == b.state && a.record == b.record && a.store_up == b.store_up && a.problem == b.problem;
}

}  // namespace

PromotedSelection::PromotedSelection(SelectionStore* store, Options options)
    : store_(store), options_(std::move(options)), current_(std::make_shared<Snapshot>()) {
  Refresh().IgnoreError();  // on_change has it
  watcher_ = std::thread([this] { Watch(); });
}

PromotedSelection::~PromotedSelection() {
  stop_ = true;
  store_->Interrupt();
  watcher_.join();
}

std::shared_ptr<const PromotedSelection::Snapshot> PromotedSelection::Current() const {
  std::lock_guard lock(current_mutex_);
  return current_;
}

absl::Status PromotedSelection::Refresh() {
  std::lock_guard lock(refresh_mutex_);
  absl::StatusOr<SelectionRecord> record = Read();
  if (record.ok()) {
    Publish(Judge(*std::move(record)));
    return absl::OkStatus();
  }
  Snapshot snapshot = *Current();
  snapshot.store_up = false;
  snapshot.problem = std::string(record.status().message());
  Publish(std::move(snapshot));
  return record.status();
}

absl::StatusOr<SelectionRecord> PromotedSelection::Read() {
  absl::StatusOr<SelectionRecord> record;
  for (int i = 0; i < kReadings; ++i) {
    MIDLAYER_ASSIGN_OR_RETURN(const std::string id, store_->Promoted());
    if (id.empty()) return SelectionRecord();
    // The id is a digest of the content, so what was read once need not be read again.
    if (const auto current = Current(); current->record.id == id) return current->record;
    record = store_->Get(id);
    if (!absl::IsNotFound(record.status())) return record;
  }
  return absl::DataLossError(
      absl::StrCat(store_->name(), ": promoted selection: expected one in the store; ", record.status().message()));
}

PromotedSelection::Snapshot PromotedSelection::Judge(SelectionRecord record) const {
  Snapshot snapshot{.state = State::kNone, .record = std::move(record), .store_up = true, .problem = {}};
  if (snapshot.record.id.empty()) return snapshot;
  const std::string fingerprint = options_.fingerprint_of_layer(snapshot.record.layer);
  if (fingerprint == snapshot.record.model_fingerprint) {
    snapshot.state = State::kKnown;
    return snapshot;
  }
  snapshot.state = State::kUnusable;
  snapshot.problem = absl::StrCat("promoted selection ", snapshot.record.id, ": layer ", snapshot.record.layer,
                                  ": expected fingerprint ", snapshot.record.model_fingerprint, ", found ",
                                  fingerprint.empty() ? "a model without this layer" : fingerprint);
  return snapshot;
}

void PromotedSelection::Publish(Snapshot snapshot) {
  if (Same(*Current(), snapshot)) return;
  const auto now = std::make_shared<const Snapshot>(std::move(snapshot));
  {
    std::lock_guard lock(current_mutex_);
    current_ = now;
  }
  if (options_.on_change) options_.on_change(*now);
}

void PromotedSelection::Watch() {
  while (!stop_) {
    store_->WaitForChange(options_.poll_interval);
    if (!stop_) Refresh().IgnoreError();
  }
}

}  // namespace midlayer
