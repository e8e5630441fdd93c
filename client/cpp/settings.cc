#include "client/cpp/settings.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

constexpr int kMaxAttempts = 5;  // gRPC takes no more
constexpr absl::Duration kShortestKeepalive = absl::Seconds(30);

std::string InSeconds(absl::Duration duration) { return absl::StrCat(absl::ToDoubleSeconds(duration), " s"); }

absl::Status CheckTimeout(absl::Duration timeout) {
  if (timeout > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("timeout: expected more than 0 s, found ", InSeconds(timeout)));
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

// Whether no connection came about.
bool IsConnecting(const std::string& message) {
  const std::string lower = absl::AsciiStrToLower(message);
  constexpr absl::string_view kWords[] = {"last error: ", "failed to connect", "resolv", "resolution",
                                          "empty address list"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](absl::string_view words) { return absl::StrContains(lower, words); });
}

// gRPC's messages are chains; the last link is the reason.
std::string Reason(absl::string_view message) {
  message = absl::StripSuffix(message, ": OK");
  const size_t link = message.rfind(": ");
  std::string reason(link == absl::string_view::npos ? message : message.substr(link + 2));
  while (!reason.empty() && (reason.back() == ']' || reason.back() == ' ')) reason.pop_back();
  if (!reason.empty()) reason[0] = absl::ascii_tolower(static_cast<unsigned char>(reason[0]));
  return reason;
}

std::string_view Hint(const Settings& settings, const std::string& reason) {
  if (settings.is_encrypted) {
    return "check that it is there and uses TLS, and that its certificate is valid, for this name, and in tls";
  }
  if (absl::StrContains(absl::AsciiStrToLower(reason), "closed")) return "does it use TLS? then set tls";
  return "is midlayer-server running? start it with midlayer-server --model=DIRECTORY, or name another target";
}

std::string DescribeUnavailable(const Settings& settings, const std::string& message) {
  if (!IsConnecting(message))
    return absl::StrCat(settings.target, " is not available (", message, "): try again later");
  const std::string reason = Reason(message);
  return absl::StrCat("cannot reach ", settings.target, " (", reason, "): ", ToAbsl(Hint(settings, reason)));
}

}  // namespace

Clock::time_point After(Clock::time_point now, absl::Duration wait) {
  const absl::Duration longest = absl::FromChrono(Clock::time_point::max() - now);
  return wait >= longest ? Clock::time_point::max() : now + absl::ToChronoNanoseconds(wait);
}

absl::Status Check(const ClientOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target: expected HOST:PORT or another address of gRPC, found nothing");
  }
  if (options.max_attempts < 1 || options.max_attempts > kMaxAttempts) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_attempts: expected 1 to ", kMaxAttempts, ", found ", options.max_attempts));
  }
  if (options.keepalive < kShortestKeepalive) {
    return absl::InvalidArgumentError(absl::StrCat("keepalive: expected ", InSeconds(kShortestKeepalive),
                                                   " or more, found ", InSeconds(options.keepalive)));
  }
  if (options.max_answer_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_answer_bytes: expected 0 or more, found ", options.max_answer_bytes));
  }
  return CheckTimeout(options.timeout);
}

absl::StatusOr<absl::Duration> TimeoutOf(const Settings& settings, const CallOptions& call) {
  const absl::Duration timeout = call.timeout.value_or(settings.timeout);
  MIDLAYER_RETURN_IF_ERROR(CheckTimeout(timeout));
  return timeout;
}

absl::Status NoAnswerWithin(const Settings& settings, absl::Duration timeout) {
  const std::string within = timeout == absl::InfiniteDuration() ? "" : absl::StrCat(" within ", InSeconds(timeout));
  return absl::DeadlineExceededError(
      absl::StrCat("no answer from ", settings.target, within, ": wait longer with timeout"));
}

absl::Status Describe(const Settings& settings, const grpc::Status& status, absl::Duration timeout,
                      const CallOptions& call) {
  if (status.ok()) return absl::OkStatus();
  auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string message = OneLine(status.error_message());
  if (message.empty()) message = absl::StatusCodeToString(code);
  if (code == absl::StatusCode::kDeadlineExceeded) return NoAnswerWithin(settings, timeout);
  if (code == absl::StatusCode::kCancelled) {
    if (call.stop.stop_requested()) return absl::CancelledError("stopped by the caller");
    // gRPC's servers cancel what comes while they begin to shut down.
    code = absl::StatusCode::kUnavailable;
    message = "it cancelled the call";
  }
  // What gRPC makes of a proxy that resets a call whose server has gone.
  if (code == absl::StatusCode::kInternal && absl::StrContains(message, "RST_STREAM")) {
    code = absl::StatusCode::kUnavailable;
    message = "the call was reset";
  }
  if (code == absl::StatusCode::kUnavailable) message = DescribeUnavailable(settings, message);
  return absl::Status(code, message);
}

}  // namespace midlayer::internal
