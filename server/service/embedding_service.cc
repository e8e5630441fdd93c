#include "server/service/embedding_service.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "server/service/scoring_convert.h"
#include "spdlog/spdlog.h"

namespace midlayer {

namespace {

class Refusal final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* NewRefusal(const ServiceContext& context,
                                                                        std::string_view method,
                                                                        const absl::Status& status) {
  CountRequest(context, method, status, absl::Now(), {});
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

void CountRequest(const ServiceContext& context, std::string_view method, const absl::Status& status, absl::Time start,
                  const std::vector<OutputSpec>& outputs) {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  context.telemetry->RequestEnded(method, CodeName(status.code()), seconds);
  if (status.code() == absl::StatusCode::kInvalidArgument) context.telemetry->Rejected("invalid");
  if (status.code() == absl::StatusCode::kDeadlineExceeded) context.telemetry->Rejected("deadline");
  if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) context.telemetry->Rejected("unauthorized");
  if (status.ok()) {
    for (const OutputSpec& output : outputs) {
      const int deepest = *std::max_element(output.layers.begin(), output.layers.end());
      context.telemetry->Embedded(deepest, PoolingName(output.pooling), seconds);
    }
  }
  spdlog::debug("{} {} {:.3f} ms {}", method, CodeName(status.code()), seconds * 1e3, std::string(status.message()));
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
  CountRequest(context_, "GetModel", status, start, {});
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace midlayer
