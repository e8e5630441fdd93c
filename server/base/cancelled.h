// How work that takes long is told to end.
#ifndef MIDLAYER_SERVER_BASE_CANCELLED_H_
#define MIDLAYER_SERVER_BASE_CANCELLED_H_

#include <functional>

#include "absl/status/status.h"

namespace midlayer {

// Asked between the steps of such work, from any of its threads; where it says yes, the work ends with CANCELLED. May
// be empty: never.
using Cancelled = std::function<bool()>;

inline absl::Status CheckCancelled(const Cancelled& cancelled) {
  return cancelled != nullptr && cancelled() ? absl::CancelledError("cancelled by the caller") : absl::OkStatus();
}

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_CANCELLED_H_
