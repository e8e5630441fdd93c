// Who may call: bearer tokens from a file that may change while the server runs.
#ifndef MIDLAYER_SERVER_SERVICE_CALLERS_H_
#define MIDLAYER_SERVER_SERVICE_CALLERS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/file_poll.h"
#include "server/service/token_table.h"

namespace midlayer {

// Thread-safe. Tokens stand in the metadata as `authorization: Bearer TOKEN` (RFC 6750); none is ever logged or put
// into an error.
class Callers {
 public:
  enum class Right { kUse, kChangeSelections };

  // Everybody may do everything.
  Callers() = default;
  // Reads the tokens (see TokenTable). A file that is damaged later is told in the log, and those before it stay.
  // NOT_FOUND, or INVALID_ARGUMENT that names the line.
  static absl::StatusOr<std::unique_ptr<Callers>> Open(const std::string& file, absl::Duration poll_interval);

  // UNAUTHENTICATED without a token that is known, PERMISSION_DENIED for one that is not an admin's where it must be.
  // Otherwise how the caller is called in logs: name and address, or the address alone where there are no tokens.
  absl::StatusOr<std::string> Authorize(const grpc::CallbackServerContext& call, Right right) const;

 private:
  absl::Status Read();

  std::string file_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TokenTable> table_;  // guarded by mutex_; null: no tokens
  std::unique_ptr<FilePoll> poll_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_CALLERS_H_
