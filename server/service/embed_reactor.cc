// One call of Embed.
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "absl/time/clock.h"
#include "server/service/embedding_service.h"

namespace midlayer {

namespace {

// Deletes itself when gRPC is done with it. gRPC waits for Finish(), and Finish() is called by the engine's one
// callback: so the engine never calls back into a dead reactor.
class EmbedReactor final : public grpc::ServerUnaryReactor {
 public:
  EmbedReactor(const ServiceContext& context, grpc::CallbackServerContext* call, grpc::ByteBuffer* response)
      : context_(context), call_(call), response_(response), tags_(TagCall(call)) {}

  void Start(const grpc::ByteBuffer& bytes) {
    if (const auto caller = context_.callers->Authorize(*call_, Callers::Right::kUse); !caller.ok()) {
      return End(caller.status());
    }
    v1::EmbedRequest wire;
    if (const absl::Status parsed = ParseEmbedRequest(bytes, &wire); !parsed.ok()) return End(parsed);
    facts_.format = wire.format();
    texts_ = wire.texts_size();
    const SelectionInForce selection = context_.selections->InForce();
    absl::StatusOr<EmbedTask> task =
        ToTask(std::move(wire), {*context_.model, context_.limits, selection}, Priority::kInteractive);
    if (!task.ok()) return End(task.status());
    task->deadline = DeadlineOf(*call_);
    facts_.outputs = task->outputs;
    facts_.selection_id = selection.id;
    request_ = context_.engine->Embed(*std::move(task), Engine::WhenFull::kRefuse,
                                      [this](absl::StatusOr<EmbedResult> result) { Answer(std::move(result)); });
  }

  // Comes only after the handler that called Start() has returned.
  void OnCancel() override {
    if (request_ != nullptr) request_->Fail(CancelReason(*call_));
  }

  void OnDone() override { delete this; }

 private:
  void Answer(absl::StatusOr<EmbedResult> result) {
    if (!result.ok()) return End(result.status());
    bool own_buffer = false;
    const grpc::Status written = grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::EmbedResponse>(
        ToResponse(*result, facts_, *context_.model), response_, &own_buffer);
    End(written.ok() ? absl::OkStatus() : absl::InternalError(written.error_message()));
  }

  void End(const absl::Status& status) {
    RecordEnd(context_, tags_,
              {.method = "Embed", .status = status, .start = start_, .texts = texts_, .outputs = facts_.outputs});
    Finish(ToGrpc(status));
  }

  const ServiceContext& context_;
  grpc::CallbackServerContext* const call_;
  grpc::ByteBuffer* const response_;
  const CallTags tags_;
  const absl::Time start_ = absl::Now();
  // Written by Start(), read after.
  AnswerFacts facts_;
  int texts_ = 0;
  std::shared_ptr<Request> request_;
};

}  // namespace

grpc::ServerUnaryReactor* NewEmbedReactor(const ServiceContext& context, grpc::CallbackServerContext* call,
                                          const grpc::ByteBuffer& request, grpc::ByteBuffer* response) {
  auto* reactor = new EmbedReactor(context, call, response);
  reactor->Start(request);
  return reactor;
}

}  // namespace midlayer
