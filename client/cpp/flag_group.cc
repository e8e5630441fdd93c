#include "client/cpp/flag_group.h"

#include "absl/strings/numbers.h"

namespace midlayer::cli {
namespace {

constexpr double kMaxTimeoutSeconds = 1e9;

std::string CheckSeconds(const std::string& text) {
  double seconds = 0;
  const bool is_good = absl::SimpleAtod(text, &seconds) && seconds >= 0 && seconds <= kMaxTimeoutSeconds;
  return is_good ? "" : absl::StrCat("expected a number of seconds, 0 or more, found \"", text, "\"");
}

}  // namespace

void AddConnectionFlags(CLI::App* command, ConnectionOptions& options) {
  Group group(command, "Server");
  group.Add("--target", options.target, "HOST:PORT", "The server's gRPC address; unix:PATH for a socket.")
      ->capture_default_str();
  group
      .Add("--timeout", options.timeout_seconds, "SECONDS",
           "The longest wait for one answer; 0 waits for ever. Too short a time gives up on a server that is only "
           "busy, too long a time hides one that hangs. Connecting gets at most 10 seconds of it.")
      ->capture_default_str()
      ->check(CheckSeconds);
}

std::string Unmark(std::string argument) {
  if (argument.starts_with(kMark)) argument.erase(0, 1);
  return argument;
}

std::vector<std::string> Unmark(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) argument = Unmark(std::move(argument));
  return arguments;
}

}  // namespace midlayer::cli
