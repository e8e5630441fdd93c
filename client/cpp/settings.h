// The settings of a client: which are allowed, and how it tells of failures.
#ifndef MIDLAYER_CLIENT_CPP_SETTINGS_H_
#define MIDLAYER_CLIENT_CPP_SETTINGS_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "midlayer/client_options.h"

namespace midlayer::internal {

inline constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);  // then twice as long each time
inline constexpr absl::Duration kLongestRetry = absl::Seconds(2);

using Clock = std::chrono::steady_clock;

// When a wait that begins now is over; the clock's end where it never is.
Clock::time_point After(Clock::time_point now, absl::Duration wait);

// INVALID_ARGUMENT where an option is out of its range, encryption and token left aside.
absl::Status Check(const ClientOptions& options);

// What remains of ClientOptions once there is a channel.
struct Settings {
  std::string target;
  bool is_encrypted = false;
  absl::Duration timeout;
  int max_attempts = 1;
};

// How long a call may take. INVALID_ARGUMENT where that is nothing.
absl::StatusOr<absl::Duration> TimeoutOf(const Settings& settings, const CallOptions& call);

// DEADLINE_EXCEEDED of what was given `timeout`.
absl::Status NoAnswerWithin(const Settings& settings, absl::Duration timeout);

// The error for what gRPC says of a call that was given `timeout`.
absl::Status Describe(const Settings& settings, const grpc::Status& status, absl::Duration timeout,
                      const CallOptions& call);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_SETTINGS_H_
