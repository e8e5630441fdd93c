// How much may be in the server at once.
#ifndef MIDLAYER_SERVER_ENGINE_ADMISSION_H_
#define MIDLAYER_SERVER_ENGINE_ADMISSION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/statusor.h"

namespace midlayer {

// Bounds the texts, and their bytes, of all requests that have not ended. Those that waited for their room have at most
// three quarters of it: however many wait, there is some for those that do not. A request larger than its bound passes
// where nothing else is inside. Thread-safe; must outlive its permits.
class Admission {
 public:
  struct Size {
    int64_t texts = 0;
    int64_t bytes = 0;
  };
  // Room taken; given back when the last copy goes.
  using Permit = std::shared_ptr<void>;
  // Told how many texts are inside whenever that changes, under the lock: must not call back.
  using OnChange = std::function<void(int64_t texts)>;

  explicit Admission(Size limit, OnChange on_change = nullptr)
      : limit_(limit),
        waiting_limit_{.texts = limit.texts - limit.texts / 4, .bytes = limit.bytes - limit.bytes / 4},
        on_change_(std::move(on_change)) {}

  // At once, or RESOURCE_EXHAUSTED. Also refused while somebody waits although there is room in the three quarters:
  // who waits is not overtaken for ever.
  absl::StatusOr<Permit> Try(Size size);
  // Calls `granted` once there is room, in order of arrival: now, or on the thread that makes room.
  void Wait(Size size, std::function<void(Permit)> granted);

  Size used() const;

 private:
  struct Waiter {
    Size size;
    std::function<void(Permit)> granted;
  };

  static bool Fits(Size size, Size used, Size limit);
  // Whether one that waits finds room in its share. mutex_ is held.
  bool FitsShare(Size size) const { return Fits(size, waiting_used_, waiting_limit_); }
  // Takes room; mutex_ is held.
  Permit Take(Size size, bool waited);
  void GiveBack(Size size, bool waited);

  const Size limit_;
  const Size waiting_limit_;
  const OnChange on_change_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Size used_;
  Size waiting_used_;  // of it, by those that came by Wait()
  std::deque<Waiter> waiters_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_ADMISSION_H_
