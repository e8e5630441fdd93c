#include "server/service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace midlayer {

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, const ServiceContext& context) {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<Server> server(new Server(context));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  // Two servers on one port would share its connections by chance; better to fail.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&server->health_);
  builder.RegisterService(&server->embedding_);
  builder.RegisterService(&server->scoring_);
  builder.RegisterService(&server->selection_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("--listen: expected an address that can be listened on, found ", options.listen));
  }
  server->address_ = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  server->health_.SetServing("", true);
  server->health_.SetServing(v1::EmbeddingService::service_full_name(), true);
  server->health_.SetServing(v1::ScoringService::service_full_name(), true);
  server->health_.SetServing(v1::SelectionService::service_full_name(), true);
  return server;
}

void Server::Shutdown(absl::Duration drain) {
  health_.Shutdown();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + drain));
}

}  // namespace midlayer
