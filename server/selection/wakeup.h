// Waiting for a file descriptor, a signal from another thread, or time to pass.
#ifndef MIDLAYER_SERVER_SELECTION_WAKEUP_H_
#define MIDLAYER_SERVER_SELECTION_WAKEUP_H_

#include "absl/time/time.h"

namespace midlayer {

// Signal() may be called from any thread, Wait() from one at a time. Where the system has no descriptor left for it,
// Signal() has no effect and Wait() lasts its whole timeout.
class Wakeup {
 public:
  enum class Reason { kTimeout, kSignal, kReadable };

  Wakeup();
  ~Wakeup();
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  // Ends the Wait() that is under way, otherwise the next one. Several signals before it count as one.
  void Signal();
  // Until Signal(), until `fd` (-1: none) can be read or was closed by its other end, or until `timeout`.
  Reason Wait(int fd, absl::Duration timeout);

 private:
  const int event_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_WAKEUP_H_
