// How much may be in the server at once.
#ifndef MIDLAYER_SERVER_ENGINE_ADMISSION_H_
#define MIDLAYER_SERVER_ENGINE_ADMISSION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"

namespace midlayer {

// Bounds the texts, and their bytes, of all requests that have not ended. A request larger than the whole bound passes
// where nothing else is inside. Thread-safe; must outlive its permits.
class Admission {
 public:
  struct Size {
    int64_t texts = 0;
    int64_t bytes = 0;
  };
  // Room taken; given back when the last copy goes.
  using Permit = std::shared_ptr<void>;

  explicit Admission(Size limit) : limit_(limit) {}

  // At once, or RESOURCE_EXHAUSTED. Also refused while somebody waits: who waits is not overtaken for ever.
  absl::StatusOr<Permit> Try(Size size);
  // Calls `granted` once there is room, in order of arrival: now, or on the thread that makes room.
  void Wait(Size size, std::function<void(Permit)> granted);

  Size used() const;

 private:
  struct Waiter {
    Size size;
    std::function<void(Permit)> granted;
  };

  bool Fits(Size size) const;
  // Takes room; mutex_ is held.
  Permit Take(Size size);
  void GiveBack(Size size);

  const Size limit_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Size used_;
  std::deque<Waiter> waiters_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_ADMISSION_H_
