// The channel of a client, for stubs of one's own.
#ifndef MIDLAYER_CHANNEL_H_
#define MIDLAYER_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>

#include "absl/status/statusor.h"
#include "midlayer/client_options.h"

namespace midlayer {

// A channel as Client makes it: encrypted, with its token, spreading and retrying calls. It connects by itself, and
// again where a connection broke. `timeout` is the calls' own affair.
//
// NOT_FOUND where a file cannot be read, INVALID_ARGUMENT where an option is out of its range; the message names the
// field, and never shows a token or a key.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_CHANNEL_H_
