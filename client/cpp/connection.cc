#include "client/cpp/connection.h"

#include <stop_token>
#include <utility>

#include "midlayer/channel.h"
#include "server/base/status.h"

namespace midlayer::internal {

Connection::Connection(const ClientOptions& options)
    : settings_{options.target, options.tls.has_value(), options.timeout, options.max_attempts} {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = MakeChannel(options);
  status_ = channel.status();
  if (!channel.ok()) return;
  channel_ = *std::move(channel);
  embedding_ = v1::EmbeddingService::NewStub(channel_);
  scoring_ = v1::ScoringService::NewStub(channel_);
  selection_ = v1::SelectionService::NewStub(channel_);
}

absl::Status Connection::Call(const CallOptions& call,
                              const std::function<grpc::Status(grpc::ClientContext*)>& method) {
  MIDLAYER_RETURN_IF_ERROR(status_);
  MIDLAYER_ASSIGN_OR_RETURN(const absl::Duration timeout, TimeoutOf(settings_, call));
  grpc::ClientContext context;
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  const std::stop_callback stop(call.stop, [&context] { context.TryCancel(); });
  return Describe(settings_, method(&context), timeout, call);
}

absl::StatusOr<v1::GetModelResponse> Connection::GetModel(const CallOptions& call) {
  v1::GetModelResponse model;
  MIDLAYER_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext* context) {
    return embedding_->GetModel(context, v1::GetModelRequest(), &model);
  }));
  const std::lock_guard lock(mutex_);
  limits_ = LimitsOf(model);
  return model;
}

absl::StatusOr<Limits> Connection::GetLimits(const CallOptions& call) {
  {
    const std::lock_guard lock(mutex_);
    if (limits_.has_value()) return *limits_;
  }
  MIDLAYER_ASSIGN_OR_RETURN(const v1::GetModelResponse model, GetModel(call));
  return LimitsOf(model);
}

void Connection::ForgetLimits() {
  const std::lock_guard lock(mutex_);
  limits_.reset();
}

}  // namespace midlayer::internal
