// Texts in, results out, in order, over calls of EmbedStream.
#ifndef MIDLAYER_CLIENT_CPP_EMBED_STREAM_H_
#define MIDLAYER_CLIENT_CPP_EMBED_STREAM_H_

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "client/cpp/connection.h"
#include "client/cpp/cutter.h"
#include "midlayer/client_options.h"
#include "midlayer/embedding.h"

namespace midlayer::internal {

// One run. Its functions are called on the caller's thread.
struct StreamRun {
  v1::EmbedRequest request;  // what all messages have beside their texts
  std::function<std::optional<Chunk>()> next_chunk;
  std::function<absl::Status(Embeddings)> on_result;
  std::function<void(const StreamError&)> on_error;  // empty: the error ends the run
  bool is_timeout_per_answer = true;                 // else it is that of the run
};

// Chunks are taken whenever no answer waits; at most as many as Window allows are on the way. Makes the call anew where
// it breaks, and then sends again what has no answer.
absl::Status RunStream(Connection& connection, const StreamRun& run, const CallOptions& call);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_EMBED_STREAM_H_
