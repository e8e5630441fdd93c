// The promoted selection as requests see it.
#ifndef MIDLAYER_SERVER_SERVICE_SELECTION_IN_FORCE_H_
#define MIDLAYER_SERVER_SERVICE_SELECTION_IN_FORCE_H_

#include <string>

#include "absl/status/status.h"
#include "server/engine/output.h"

namespace midlayer {

// What requests that name no layer get.
struct SelectionInForce {
  std::string id;  // empty: none, and the deepest layer that is loaded is taken
  int layer = 0;
  Pooling pooling = Pooling::kMean;
  State state = State::kRaw;
  // Why such a request must be refused; OK where it need not.
  absl::Status refusal;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SELECTION_IN_FORCE_H_
