// The model's selections: kept in a store that replicas share, one of them in force.
#ifndef MIDLAYER_SERVER_SERVICE_SELECTIONS_H_
#define MIDLAYER_SERVER_SERVICE_SELECTIONS_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/model_info.h"
#include "server/selection/promoted_selection.h"
#include "server/selection/store.h"
#include "server/service/selection_in_force.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {

// Thread-safe. All that is passed to the constructor must outlive it, but the store, which it owns.
class Selections {
 public:
  struct Options {
    // Whether requests that name no layer are refused while the store could not be read since the start: else this
    // server would answer with another layer than those that can read it.
    bool required = true;
    // Whether no layer above the selection that was promoted at the start is loaded: where none is promoted any more,
    // this server has not the layer that others answer with.
    bool trimmed = false;
    absl::Duration poll_interval = absl::Seconds(1);
  };

  Selections(std::unique_ptr<SelectionStore> store, const ModelInfo* model, const Options& options,
             Telemetry* telemetry);

  SelectionInForce InForce() const;
  // Tells `follower` now, and whenever it changes, whether requests that name no layer can be answered as far as the
  // store goes: UNAVAILABLE while it could not be read since the start and that is required. One at a time; an empty
  // one ends it, after which it is not called any more. It must not call back.
  void Follow(std::function<void(const absl::Status&)> follower);
  // Its record; nothing where none can be used.
  std::optional<SelectionRecord> RecordInForce() const;

  SelectionStore& store() { return *store_; }

  // The record and report of the same question (see SelectionRecord::cache_key), if it was asked before. Errors of the
  // store count as no.
  struct Stored {
    SelectionRecord record;
    std::string report;
  };
  std::optional<Stored> FindCached(const std::string& cache_key);

  // Makes `id` (empty: none) the one in force, here at once and on the other servers after a moment (see
  // PromotedSelection), and returns the id before it. FAILED_PRECONDITION where its evidence is of spectra alone and
  // `force` is not set, where the model has other weights than the one that was scored, and where `expected_current` is
  // not in force; NOT_FOUND, UNAVAILABLE. Logged with `caller`.
  absl::StatusOr<std::string> Promote(const std::string& id, const std::optional<std::string>& expected_current,
                                      bool force, std::string_view caller);
  // Logged likewise.
  absl::Status Delete(const std::string& id, std::string_view caller);

 private:
  void Changed(const PromotedSelection::Snapshot& snapshot);
  absl::Status StoreRefusal(const PromotedSelection::Snapshot& snapshot) const;
  absl::Status CheckPromotable(const SelectionRecord& record, bool force) const;

  const std::unique_ptr<SelectionStore> store_;
  const ModelInfo& model_;
  const Options options_;
  Telemetry& telemetry_;
  std::mutex follower_mutex_;
  std::function<void(const absl::Status&)> follower_;  // guarded by follower_mutex_
  PromotedSelection promoted_;                         // last: calls back from the start
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SELECTIONS_H_
