#include "midlayer/client.h"

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/answers.h"
#include "client/cpp/connection.h"
#include "client/cpp/embed_stream.h"
#include "client/cpp/requests.h"
#include "client/cpp/score_layers.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

using internal::Chunk;
using internal::Connection;
using internal::Cutter;
using internal::Limits;

// grpc.health.v1 has two messages of one field each, a string and an enumeration, both number 1: on the wire they are
// the same as these. So its own messages are not needed, of which a program may have no second copy.
using HealthStub = grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::Int32Value>;

// Embed of at most one chunk. The server says what is wrong with none.
absl::StatusOr<Embeddings> EmbedOnce(Connection& connection, v1::EmbedRequest request, std::optional<Chunk> chunk,
                                     const CallOptions& call) {
  if (chunk.has_value()) {
    if (!chunk->fault.empty()) return absl::InvalidArgumentError(absl::StrCat("texts[0]: ", chunk->fault));
    for (std::string& text : chunk->texts) request.add_texts(std::move(text));
  }
  v1::EmbedResponse answer;
  MIDLAYER_RETURN_IF_ERROR(connection.Call(
      call, [&](grpc::ClientContext* context) { return connection.embedding().Embed(context, request, &answer); }));
  return internal::ToEmbeddings(answer, static_cast<size_t>(request.texts_size()), 0);
}

absl::StatusOr<Embeddings> EmbedAll(Connection& connection, const std::vector<std::string>& texts,
                                    v1::EmbedRequest request, const Limits& limits, const CallOptions& call) {
  auto text = texts.begin();
  Cutter cutter([&] { return text == texts.end() ? std::nullopt : std::optional(*text++); }, limits);
  std::optional<Chunk> first = cutter.Next();
  std::optional<Chunk> second = cutter.Next();
  if (!second.has_value()) return EmbedOnce(connection, std::move(request), std::move(first), call);
  Embeddings whole;
  internal::StreamRun run{.request = std::move(request), .is_timeout_per_answer = false};
  run.next_chunk = [&] {
    // `first` and `second` wait in front of the cutter's.
    std::optional<Chunk> chunk =
        first.has_value() ? std::exchange(first, std::nullopt) : std::exchange(second, std::nullopt);
    return chunk.has_value() ? std::move(chunk) : cutter.Next();
  };
  run.on_result = [&](Embeddings next) { return internal::Append(std::move(next), whole); };
  MIDLAYER_RETURN_IF_ERROR(RunStream(connection, run, call));
  return whole;
}

// One timeout for asking for the limits and for what follows.
absl::StatusOr<Embeddings> EmbedInTime(Connection& connection, const std::vector<std::string>& texts,
                                       v1::EmbedRequest request, CallOptions call) {
  const absl::Time start = absl::Now();
  MIDLAYER_ASSIGN_OR_RETURN(const Limits limits, connection.GetLimits(call));
  MIDLAYER_ASSIGN_OR_RETURN(const absl::Duration timeout, internal::TimeoutOf(connection.settings(), call));
  call.timeout = std::max(timeout - (absl::Now() - start), absl::Milliseconds(1));
  absl::StatusOr<Embeddings> result = EmbedAll(connection, texts, std::move(request), limits, call);
  if (absl::IsDeadlineExceeded(result.status())) return internal::NoAnswerWithin(connection.settings(), timeout);
  return result;
}

}  // namespace

Client::Client(const ClientOptions& options) : connection_(std::make_unique<Connection>(options)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

const absl::Status& Client::status() const { return connection_->status(); }

absl::StatusOr<Embeddings> Client::Embed(const std::vector<std::string>& texts, const EmbedOptions& options,
                                         const CallOptions& call) {
  MIDLAYER_ASSIGN_OR_RETURN(v1::EmbedRequest request, internal::ToWire(options));
  absl::StatusOr<Embeddings> result = EmbedInTime(*connection_, texts, std::move(request), call);
  if (absl::IsInvalidArgument(result.status())) connection_->ForgetLimits();
  return result;
}

absl::Status Client::EmbedStream(const std::function<std::optional<std::string>()>& next_text,
                                 const std::function<absl::Status(Embeddings)>& on_result,
                                 const EmbedStreamOptions& options, const CallOptions& call) {
  if (options.batch_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat("batch_size: expected 1 or more, found ", options.batch_size));
  }
  MIDLAYER_ASSIGN_OR_RETURN(v1::EmbedRequest request, internal::ToWire(options.embed));
  MIDLAYER_ASSIGN_OR_RETURN(const v1::GetModelResponse model, connection_->GetModel(call));
  Limits limits = internal::LimitsOf(model);
  limits.texts = std::min(limits.texts, static_cast<size_t>(options.batch_size));
  Cutter cutter(next_text, limits);
  return RunStream(*connection_,
                   {.request = std::move(request),
                    .next_chunk = [&] { return cutter.Next(); },
                    .on_result = on_result,
                    .on_error = options.on_error},
                   call);
}

absl::StatusOr<v1::ScoreReport> Client::ScoreLayers(const std::vector<Example>& examples, const ScoreOptions& options,
                                                    const std::function<void(const v1::ScoreProgress&)>& on_progress,
                                                    const CallOptions& call) {
  return internal::RunScoring(*connection_, examples, options, on_progress, call);
}

Selections Client::selections() const { return Selections(connection_.get()); }

absl::StatusOr<v1::GetModelResponse> Client::GetModel(const CallOptions& call) { return connection_->GetModel(call); }

absl::StatusOr<ServingStatus> Client::Health(const std::string& service, const CallOptions& call) {
  google::protobuf::StringValue request;
  request.set_value(service);
  google::protobuf::Int32Value answer;
  MIDLAYER_RETURN_IF_ERROR(connection_->Call(call, [&](grpc::ClientContext* context) {
    HealthStub stub(connection_->channel());
    // Shared: gRPC's thread may still be inside of it when this one goes on.
    const auto end = std::make_shared<std::promise<grpc::Status>>();
    stub.UnaryCall(context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &answer,
                   [end](grpc::Status status) { end->set_value(std::move(status)); });
    return end->get_future().get();
  }));
  const bool is_known = answer.value() >= 0 && answer.value() <= static_cast<int>(ServingStatus::kServiceUnknown);
  return is_known ? static_cast<ServingStatus>(answer.value()) : ServingStatus::kUnknown;
}

}  // namespace midlayer
