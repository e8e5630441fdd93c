// The promoted selection of a store, at hand for every request.
#ifndef MIDLAYER_SERVER_SELECTION_PROMOTED_SELECTION_H_
#define MIDLAYER_SERVER_SELECTION_PROMOTED_SELECTION_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/selection/record.h"
#include "server/selection/store.h"

namespace midlayer {

// Follows a store on a thread of its own. Thread-safe; the store and the functions of Options must outlive it.
//
// How old an answer may be: while the store answers, another server's Promote() is seen here after at most one poll
// interval and one reading of the store, and mostly at once, as the store tells of changes. A reading that fails takes
// at most the store's connect and command timeouts (1 s each); from then on store_up is false, and the last selection
// that was read stays.
class PromotedSelection {
 public:
  enum class State {
    kNeverKnown,  // the store could not be read since the start
    kNone,        // none is promoted
    kKnown,
    kUnusable,  // one is promoted, but of another model, or of a layer that is not loaded: it must not be used, and
                // neither must any other be taken in its place
  };

  struct Snapshot {
    State state = State::kNeverKnown;
    SelectionRecord record;  // where kKnown or kUnusable
    bool store_up = false;   // whether the last reading succeeded
    std::string problem;     // why the store could not be read, or why the selection is unusable; empty if neither
  };

  struct Options {
    absl::Duration poll_interval = absl::Seconds(1);
    // Required. The fingerprint of a layer of the model, empty where the layer is not loaded.
    std::function<std::string(int)> fingerprint_of_layer;
    // Called when anything in the snapshot has changed, in order, first in the constructor; on the thread that read the
    // store. Must not call Refresh(). May be empty.
    std::function<void(const Snapshot&)> on_change;
  };

  // Reads the store once, then follows it.
  PromotedSelection(SelectionStore* store, Options options);
  ~PromotedSelection();

  // What is known now; never null. Does not wait for the store.
  std::shared_ptr<const Snapshot> Current() const;

  // Reads the store at once; for the server that has just promoted. When it returns OK, Current() is no older than this
  // call.
  absl::Status Refresh();

 private:
  // The promoted record; without an id where there is none.
  absl::StatusOr<SelectionRecord> Read();
  // What `record` means for this model.
  Snapshot Judge(SelectionRecord record) const;
  void Publish(Snapshot snapshot);
  void Watch();

  SelectionStore* const store_;
  const Options options_;

  // Held from the reading to the end of on_change: an older reading never replaces a newer one.
  std::mutex refresh_mutex_;

  mutable std::mutex current_mutex_;
  std::shared_ptr<const Snapshot> current_;  // guarded by current_mutex_

  std::atomic<bool> stop_ = false;
  std::thread watcher_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_PROMOTED_SELECTION_H_
