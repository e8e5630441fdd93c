#include "server/selection/wakeup.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

namespace midlayer {
namespace {

using Clock = std::chrono::steady_clock;

// Longer waits are cut: a caller waits again.
constexpr absl::Duration kLongest = absl::Hours(24);

}  // namespace

Wakeup::Wakeup() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Wakeup::~Wakeup() {
  if (event_ >= 0) close(event_);
}

void Wakeup::Signal() {
  const uint64_t one = 1;
  // It fails only where it is signalled already.
  [[maybe_unused]] const ssize_t written = write(event_, &one, sizeof one);
}

Wakeup::Reason Wakeup::Wait(int fd, absl::Duration timeout) {
  const auto end = Clock::now() + absl::ToChronoMicroseconds(std::clamp(timeout, absl::ZeroDuration(), kLongest));
  while (true) {
    pollfd fds[] = {{event_, POLLIN, 0}, {fd, POLLIN | POLLRDHUP, 0}};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(end - Clock::now(), Clock::duration::zero()));
    const int ready = poll(fds, 2, static_cast<int>(left.count()));
    if (ready == 0) return Reason::kTimeout;
    if (ready < 0 && errno == EINTR) continue;
    if (fds[0].revents != 0) {
      uint64_t signals;
      [[maybe_unused]] const ssize_t taken = read(event_, &signals, sizeof signals);
      return Reason::kSignal;
    }
    return Reason::kReadable;
  }
}

}  // namespace midlayer
