// From options to the messages of the wire.
#ifndef MIDLAYER_CLIENT_CPP_REQUESTS_H_
#define MIDLAYER_CLIENT_CPP_REQUESTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "midlayer/embedding.h"
#include "midlayer/scoring.h"
#include "midlayer/v1/embedding.pb.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::internal {

// What all requests of a call have beside their texts. INVALID_ARGUMENT where options exclude each other.
absl::StatusOr<v1::EmbedRequest> ToWire(const EmbedOptions& options);

v1::ScoreOptions ToWire(const ScoreOptions& options);

// INVALID_ARGUMENT where a string is not UTF-8; `place` is the example's in its data set.
absl::StatusOr<v1::Example> ToWire(const Example& example, size_t place);

// An id as the wire has it: empty for "none".
std::string ToWireId(const std::string& id);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_REQUESTS_H_
