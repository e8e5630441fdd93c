#include "client/cli/interrupt.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "client/cli/console.h"

namespace midlayer::cli {
namespace {

// Signals closer together are one: timeout(1) and other parents send theirs to the program and to its process group.
constexpr int64_t kSameSignalMs = 1000;

std::atomic<int64_t> interrupted_at_ms = 0;  // 0: not yet
static_assert(std::atomic<int64_t>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void OnSignal(int) {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  const int64_t now_ms = int64_t{1} + time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
  int64_t first_ms = 0;
  if (interrupted_at_ms.compare_exchange_strong(first_ms, now_ms)) return;
  if (now_ms - first_ms > kSameSignalMs) _exit(kExitInterrupted);
}

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupted_at_ms != 0; }

}  // namespace midlayer::cli
