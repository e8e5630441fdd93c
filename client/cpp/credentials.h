// Encryption and tokens of a channel.
#ifndef MIDLAYER_CLIENT_CPP_CREDENTIALS_H_
#define MIDLAYER_CLIENT_CPP_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "midlayer/client_options.h"

namespace midlayer::internal {

// For a channel; `tls` may be nothing. NOT_FOUND or INVALID_ARGUMENT name the field of Tls, and the file.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(const std::optional<Tls>& tls);

// The token, empty for none. Errors never show it.
absl::StatusOr<std::string> ReadToken(const TextOrFile& token);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_CREDENTIALS_H_
