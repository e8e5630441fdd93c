#include "server/service/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/why_not_listening.h"

namespace midlayer {

namespace {

// Calls at once over one connection; more wait inside a client that keeps to the rules (gRPC 1.51 holds nobody to it
// who has not acknowledged it). A call takes 12 KB before its message is there, and needs no token for that.
constexpr int kMaxConcurrentStreams = 1000;

// In which a client that was just answered has surely called again.
constexpr absl::Duration kCallsAgain = absl::Milliseconds(100);

class NoTag final : public grpc::internal::CompletionQueueTag {
 public:
  bool FinalizeResult(void**, bool*) override { return false; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, const ServiceContext& context) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                            MakeServerCredentials(options.tls));
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<Server> server(new Server(context));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  // gRPC 1.51 inflates a message before it looks at its size, a thousandfold if it was made for that.
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  // Two servers on one port would share its connections by chance; better to fail.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients and load balancers may keep idle connections alive by pings; gRPC's own limit is one in five minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (options.max_connection_age < absl::InfiniteDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               static_cast<int>(absl::ToInt64Milliseconds(options.max_connection_age)));
  }
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(server->gate_.MakeInterceptors());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  builder.RegisterService(&server->health_);
  builder.RegisterService(&server->embedding_);
  builder.RegisterService(&server->scoring_);
  builder.RegisterService(&server->selection_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    const std::string reason = WhyNotListening(options.listen);
    return absl::UnavailableError(absl::StrCat("--listen: expected an address that can be listened on, found ",
                                               options.listen, reason.empty() ? "" : " (", reason,
                                               reason.empty() ? "" : ")"));
  }
  server->address_ = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  server->followed_ = context.selections;
  context.selections->Follow([&server = *server](const absl::Status& store_health) {
    std::lock_guard lock(server.mutex_);
    server.store_health_ = store_health;
    server.TellHealth();
  });
  return server;
}

Server::~Server() {
  if (followed_ != nullptr) followed_->Follow({});
}

absl::Status Server::health() const {
  std::lock_guard lock(mutex_);
  return told_health_;
}

absl::Status Server::readiness() const {
  std::lock_guard lock(mutex_);
  return ReadinessNow();
}

absl::Status Server::WholeNow() const {
  return draining_ ? absl::UnavailableError("the server is shutting down") : told_health_;
}

absl::Status Server::ReadinessNow() const {
  const absl::Status whole = WholeNow();
  return whole.ok() ? store_health_ : whole;
}

void Server::TellHealth() {
  const bool serving = ReadinessNow().ok();
  telemetry_.ServingIs(serving);
  health_.SetServing("", WholeNow().ok());
  for (const char* service : {v1::EmbeddingService::service_full_name(), v1::ScoringService::service_full_name(),
                              v1::SelectionService::service_full_name()}) {
    health_.SetServing(service, serving);
  }
}

void Server::SetHealth(const absl::Status& health) {
  std::lock_guard lock(mutex_);
  told_health_ = health;
  TellHealth();
}

void Server::StopBeingHealthy() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  TellHealth();
}

void Server::Shutdown(absl::Duration drain) {
  health_.Shutdown();
  // gRPC ends with CANCELLED what reaches it after its shutdown began and before the client was told (GOAWAY); see
  // github.com/grpc/grpc/issues/41785. Clients that call again once they are answered would all run into that. So no
  // call ends until they are told: who was answered before has called again by then, and waits.
  gate_.Close();
  absl::SleepFor(kCallsAgain);
  const absl::Time deadline = absl::Now() + drain;
  grpc::CompletionQueue ended;
  NoTag tag;
  grpc_server_shutdown_and_notify(server_->c_server(), ended.cq(), &tag);  // tells them, and does not wait
  gate_.Open();
  server_->Shutdown(absl::ToChronoTime(deadline));
  ended.Shutdown();
  void* ignored_tag = nullptr;
  bool ignored_ok = false;
  while (ended.Next(&ignored_tag, &ignored_ok)) {
  }
}

}  // namespace midlayer
