// Where selections are kept, and which of them is promoted: shared by all servers that must agree.
#ifndef MIDLAYER_SERVER_SELECTION_STORE_H_
#define MIDLAYER_SERVER_SELECTION_STORE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/selection/record.h"

namespace midlayer {

// The selections of one scope: those of one model. Several scopes may share a place without seeing each other.
// Thread-safe, but for WaitForChange().
//
// What OK was returned for is kept: it survives the end of this process (but for the store in memory), and every other
// server reads it from then on. Errors of all methods: INVALID_ARGUMENT where an id or a record is malformed;
// UNAVAILABLE where the place cannot be reached, read or written (a change that failed so may have happened all the
// same: read Promoted()); DATA_LOSS, naming the file or key, where what is stored there is not what was put.
class SelectionStore {
 public:
  virtual ~SelectionStore() = default;

  // What the store is called in logs and messages: without secrets.
  virtual const std::string& name() const = 0;
  // Whether anything can be put. Where not, a run of ScoreLayers is not asked to.
  virtual bool keeps() const { return true; }

  // Stores a record, and with it its report: bytes that mean nothing to the store. What has the same id is replaced.
  virtual absl::Status Put(const SelectionRecord& record, std::string_view report) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<SelectionRecord> Get(std::string_view id) = 0;
  virtual absl::StatusOr<std::string> Report(std::string_view id) = 0;
  // Newest first; those of one second by id. What is damaged is left out and told to StoreOptions::on_damaged.
  virtual absl::StatusOr<std::vector<SelectionRecord>> List() = 0;

  // The id of the promoted selection, empty for none.
  virtual absl::StatusOr<std::string> Promoted() = 0;
  // Promotes `id` (empty: none) and returns what was promoted before. With `expected_current` (empty: none) only where
  // that is still promoted: otherwise FAILED_PRECONDITION, naming both. NOT_FOUND where `id` is not in the store;
  // DATA_LOSS where it is damaged. A damaged note of what was promoted before is replaced where nothing is expected.
  virtual absl::StatusOr<std::string> Promote(std::string_view id, std::optional<std::string> expected_current) = 0;
  // FAILED_PRECONDITION where it is promoted, NOT_FOUND.
  virtual absl::Status Delete(std::string_view id) = 0;

  // Returns when something may have changed since the last call, here or on another server; when the connection to the
  // place was lost or found again; after `timeout`; or after Interrupt(), called before or while it waits. May return
  // early, and (Redis) later by one connect and one command timeout. For one thread at a time.
  virtual void WaitForChange(absl::Duration timeout) = 0;
  virtual void Interrupt() = 0;
};

struct StoreOptions {
  // Redis. How long connecting may take (for each address; looking up the name is not part of it), and how long each
  // wait for an answer.
  absl::Duration connect_timeout = absl::Seconds(1);
  absl::Duration command_timeout = absl::Seconds(1);
  // Files. How long to wait for another process that is writing.
  absl::Duration lock_timeout = absl::Seconds(10);
  // Told what is damaged and why, each time that List() comes upon it; on the thread that calls List().
  std::function<void(std::string_view)> on_damaged;
};

// Opens the store at `url` for `scope` (1 to 128 of A-Z a-z 0-9 . _ -, not beginning with a dot):
//
//   none               nothing is kept, and nothing can be promoted
//   memory             this object alone, gone with it
//   file:DIR           one machine: DIR/SCOPE/, made where it does not exist. See file_store.h
//   redis://[[user]:password@]host[:port][/db][?password_file=FILE]
//   rediss://…[?ca=FILE&cert=FILE&key=FILE&sni=NAME]
//                      many machines, rediss by TLS. See redis_store.h
//
// INVALID_ARGUMENT where the URL is malformed, FAILED_PRECONDITION where a file or directory that it names cannot be
// used. No message ever has a password in it. A Redis that does not answer is no error here: calls will say so.
absl::StatusOr<std::unique_ptr<SelectionStore>> OpenStore(std::string_view url, std::string_view scope,
                                                          const StoreOptions& options = {});

// What the stores share.

// INVALID_ARGUMENT where what Promote() was called with is malformed.
absl::Status CheckPromotion(std::string_view id, const std::optional<std::string>& expected_current);
// NOT_FOUND for a selection.
absl::Status NoSuchSelection(std::string_view id);
// FAILED_PRECONDITION for Promote().
absl::Status OtherIsPromoted(std::string_view expected, std::string_view found);
// FAILED_PRECONDITION for Delete().
absl::Status IsPromoted(std::string_view id);
// Into the order of List().
void SortSelections(std::vector<SelectionRecord>* records);
// The record in `json`, which was stored at `place` under `id`; otherwise DATA_LOSS, naming the place.
absl::StatusOr<SelectionRecord> ReadStored(std::string_view place, std::string_view id, std::string_view json);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_STORE_H_
