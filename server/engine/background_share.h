// How much of the runner's time background work gets.
#ifndef MIDLAYER_SERVER_ENGINE_BACKGROUND_SHARE_H_
#define MIDLAYER_SERVER_ENGINE_BACKGROUND_SHARE_H_

#include <algorithm>

#include "absl/time/time.h"

namespace midlayer {

// Background work runs where nothing else does; where something does, it is due again once the rest had kRest times as
// long as its last step took. So it has a tenth of a busy runner, and what it took of an idle one is not held against
// it. Not thread-safe.
class BackgroundShare {
 public:
  static constexpr int kRest = 9;

  bool IsDue() const { return owed_ <= absl::ZeroDuration(); }
  // A step of background work took `time`.
  void BackgroundTook(absl::Duration time) { owed_ = kRest * time; }
  // Something else took `time`.
  void RestTook(absl::Duration time) { owed_ = std::max(owed_ - time, absl::ZeroDuration()); }

 private:
  absl::Duration owed_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_BACKGROUND_SHARE_H_
