// The channel of a Connection.
#ifndef MIDLAYER_CLIENT_CLI_CHANNEL_H_
#define MIDLAYER_CLIENT_CLI_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/statusor.h"
#include "client/cli/connection.h"

namespace midlayer::cli {

// As midlayer::MakeChannel makes it; calls are tried once. NOT_FOUND or INVALID_ARGUMENT name the flag, the file and
// what is wrong with it; a token is never named.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ConnectionOptions& options);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_CHANNEL_H_
