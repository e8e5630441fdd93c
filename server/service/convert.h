// Between the wire and the engine: every default and every check of a request's fields. No threads, no state.
#ifndef MIDLAYER_SERVER_SERVICE_CONVERT_H_
#define MIDLAYER_SERVER_SERVICE_CONVERT_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/status.h"
#include "midlayer/v1/embedding.pb.h"
#include "server/engine/model_info.h"
#include "server/engine/request.h"
#include "server/service/selection_in_force.h"

namespace midlayer {

// What one request may ask for.
struct RequestLimits {
  int max_texts = 256;
  int max_text_bytes = 1 << 20;
  // Checked elsewhere, and told to callers.
  int max_message_bytes = 64 << 20;
  int64_t max_waiting_texts = 4096;
};

// What a request is checked against.
struct RequestContext {
  const ModelInfo& model;
  const RequestLimits& limits;
  const SelectionInForce& selection;
};

// A checked request. All errors are INVALID_ARGUMENT and FAILED_PRECONDITION as in embedding.proto; the message names
// the field, what was expected and what came (and UNAVAILABLE, where it takes a selection that is not known yet).
// `unset_priority`: what PRIORITY_UNSPECIFIED means.
absl::StatusOr<EmbedTask> ToTask(v1::EmbedRequest request, const RequestContext& context, Priority unset_priority);

// What is said of an answer besides its vectors.
struct AnswerFacts {
  std::vector<OutputSpec> outputs;  // that were asked for
  v1::VectorFormat format = v1::VECTOR_FORMAT_UNSPECIFIED;
  std::string selection_id;  // in force when the request came
};
v1::EmbedResponse ToResponse(const EmbedResult& result, const AnswerFacts& facts, const ModelInfo& model);

absl::StatusOr<Pooling> ToPooling(v1::Pooling pooling, const ModelInfo& model, absl::string_view field);
v1::Pooling FromPooling(Pooling pooling);

v1::GetModelResponse DescribeForWire(const ModelInfo& model, const RequestLimits& limits);

// Reads a message. INVALID_ARGUMENT where the bytes are none; strings that are not UTF-8 are named, because protobuf
// only says "no". `path` leads from the message to the EmbedRequest inside: empty, or "request." for a stream's.
absl::Status ParseEmbedRequest(const grpc::ByteBuffer& bytes, v1::EmbedRequest* request);
absl::Status ParseEmbedRequest(const grpc::ByteBuffer& bytes, v1::EmbedStreamRequest* request);

// The one place where an engine's status becomes gRPC's. Over-long messages are cut: they travel in HTTP headers.
grpc::Status ToGrpc(const absl::Status& status);

// "OK", "INVALID_ARGUMENT", …
std::string_view CodeName(absl::StatusCode code);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_CONVERT_H_
