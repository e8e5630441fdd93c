#include "client/cli/channel.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "midlayer/channel.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

// The library's errors begin with the names of its fields; who calls knows flags.
absl::Status WithFlags(const absl::Status& status) {
  const absl::string_view message = status.message();
  const size_t fields = message.find(": ");
  if (status.ok() || fields == absl::string_view::npos) return status;
  const std::string flags = absl::StrReplaceAll(message.substr(0, fields), {{"target", "--target"},
                                                                            {"tls.ca", "--tls-ca"},
                                                                            {"tls.certificate", "--tls-client-cert"},
                                                                            {"tls.key", "--tls-client-key"},
                                                                            {"token", "--bearer-token-file"}});
  return absl::Status(status.code(), absl::StrCat(flags, message.substr(fields)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ConnectionOptions& options) {
  // A command is tried once: it says at once why it fails, and a shell can call it again.
  ClientOptions client{.target = options.target,
                       .token = {.file = options.token_file},
                       .max_attempts = 1,
                       .is_shared = options.is_shared};
  const bool has_files = !options.tls_ca.empty() || !options.tls_certificate.empty() || !options.tls_key.empty();
  if (options.tls || has_files) {
    client.tls = Tls{.ca = {.file = options.tls_ca},
                     .certificate = {.file = options.tls_certificate},
                     .key = {.file = options.tls_key}};
  }
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = midlayer::MakeChannel(client);
  if (!channel.ok()) return WithFlags(channel.status());
  return channel;
}

}  // namespace midlayer::cli
