#include "server/service/embedding_service.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "server/base/log.h"
#include "server/service/scoring_convert.h"

namespace midlayer {

namespace {

int DeepestLayer(const OutputSpec& output) { return *std::max_element(output.layers.begin(), output.layers.end()); }

// Errors name the field, what was expected, and what came: that may be a text, a label or a name of the caller's.
std::string WithoutValues(absl::string_view message) {
  return std::string(message.substr(0, message.find(", found ")));
}

void LogEnd(const CallTags& tags, const EndedCall& call, double seconds) {
  if (!LogsDebug()) return;
  LogFields fields = {{"method", call.method},
                      {"code", CodeName(call.status.code())},
                      {"duration_seconds", seconds},
                      {"request_id", tags.request_id},
                      {"peer", tags.peer}};
  if (!tags.traceparent.empty()) fields.emplace_back("traceparent", tags.traceparent);
  if (call.texts > 0) fields.emplace_back("texts", call.texts);
  if (!call.outputs.empty()) {
    nlohmann::json layers = nlohmann::json::array();
    for (const OutputSpec& output : call.outputs) layers.push_back(DeepestLayer(output));
    fields.emplace_back("layers", layers);
  }
  if (!call.status.ok()) fields.emplace_back("error", WithoutValues(call.status.message()));
  LogDebug("request", fields);
}

class Refusal final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* NewRefusal(const ServiceContext& context,
                                                                        grpc::CallbackServerContext* call,
                                                                        std::string_view method,
                                                                        const absl::Status& status) {
  RecordEnd(context, TagCall(call), {.method = method, .status = status, .start = absl::Now()});
  return new Refusal(status);
}

absl::Time DeadlineOf(const grpc::CallbackServerContext& call) {
  return call.deadline() == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                         : absl::FromChrono(call.deadline());
}

absl::Status CancelReason(const grpc::CallbackServerContext& call) {
  // A deadline travels as a timeout, so here it is later by the time on the way: the caller's own clock may end the
  // call first.
  constexpr absl::Duration kOnTheWay = absl::Milliseconds(100);
  if (DeadlineOf(call) - kOnTheWay <= absl::Now())
    return absl::DeadlineExceededError("the deadline passed while the request waited");
  return absl::CancelledError("cancelled by the caller");
}

void RecordEnd(const ServiceContext& context, const CallTags& tags, const EndedCall& call) {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - call.start);
  const absl::Status& status = call.status;
  context.telemetry->RequestEnded(call.method, CodeName(status.code()), seconds);
  if (status.code() == absl::StatusCode::kInvalidArgument) context.telemetry->Rejected("invalid");
  if (status.code() == absl::StatusCode::kDeadlineExceeded) context.telemetry->Rejected("deadline");
  if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) context.telemetry->Rejected("unauthorized");
  if (status.ok()) {
    for (const OutputSpec& output : call.outputs) {
      context.telemetry->Embedded(DeepestLayer(output), PoolingName(output.pooling), seconds);
    }
  }
  LogEnd(tags, call, seconds);
}

grpc::ServerUnaryReactor* EmbeddingServiceImpl::Embed(grpc::CallbackServerContext* call,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return NewEmbedReactor(context_, call, *request, response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EmbeddingServiceImpl::EmbedStream(
    grpc::CallbackServerContext* call) {
  return NewEmbedStreamReactor(context_, call);
}

grpc::ServerUnaryReactor* EmbeddingServiceImpl::GetModel(grpc::CallbackServerContext* call, const v1::GetModelRequest*,
                                                         v1::GetModelResponse* response) {
  const absl::Time start = absl::Now();
  const absl::Status status = context_.callers->Authorize(*call, Callers::Right::kUse).status();
  if (status.ok()) {
    *response = DescribeForWire(*context_.model, context_.limits);
    if (const auto record = context_.selections->RecordInForce()) {
      *response->mutable_selection() = FromRecord(*record, true);
    }
  }
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  RecordEnd(context_, TagCall(call), {.method = "GetModel", .status = status, .start = start});
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace midlayer
