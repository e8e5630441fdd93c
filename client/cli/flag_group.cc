#include "client/cli/flag_group.h"

#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "client/cli/request_options.h"

namespace midlayer::cli {
namespace {

constexpr double kMaxTimeoutSeconds = 1e9;

std::string CheckSeconds(const std::string& text) {
  double seconds = 0;
  const bool is_good = absl::SimpleAtod(text, &seconds) && seconds >= 0 && seconds <= kMaxTimeoutSeconds;
  return is_good ? "" : absl::StrCat("expected a number of seconds, 0 or more, found \"", text, "\"");
}

}  // namespace

std::string CheckLayer(const std::string& text) {
  std::optional<int32_t> unused;
  return ParseLayer(text, &unused) ? "" : absl::StrCat("expected a number or \"selected\", found \"", text, "\"");
}

void AddSwitch(CLI::App* command, const std::string& group, const std::string& flag, bool& value,
               const std::string& help) {
  command->add_flag(flag, value, help)->group(group);
}

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
  AddSwitch(command, "Server", "--tls", options.tls,
            "Encrypt, and trust the server's certificate by the system's roots. The other TLS flags imply it.");
  group.Add("--tls-ca", options.tls_ca, "FILE", "PEM file of roots to trust instead of the system's.");
  group.Add("--tls-client-cert", options.tls_certificate, "FILE",
            "PEM file of a certificate to show to a server that asks for one (mutual TLS).");
  group.Add("--tls-client-key", options.tls_key, "FILE", "PEM file of its private key.");
  group.Add("--bearer-token-file", options.token_file, "FILE",
            "File whose first word is sent as bearer token. Without TLS it crosses the network for everybody to read.");
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
