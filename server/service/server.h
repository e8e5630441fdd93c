// The gRPC server's life: start, serve, end.
#ifndef MIDLAYER_SERVER_SERVICE_SERVER_H_
#define MIDLAYER_SERVER_SERVICE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/service/embedding_service.h"
#include "server/service/health_service.h"
#include "server/service/scoring_service.h"
#include "server/service/selection_service.h"

namespace midlayer {

// Serves until Shutdown(). Health (grpc.health.v1, overall and by service) and reflection are on.
class Server {
 public:
  struct Options {
    std::string listen = "127.0.0.1:50051";  // port 0: any free one
    int max_message_bytes = 64 << 20;        // of a request
  };

  // UNAVAILABLE where the address cannot be listened on. What `context` points to must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options, const ServiceContext& context);

  // Host and port, the real one where port 0 was asked for.
  const std::string& address() const { return address_; }

  // Health says NOT_SERVING, new calls are refused (UNAVAILABLE), calls under way go on; those that have not ended
  // after `drain` are cancelled. Returns when no call is left.
  void Shutdown(absl::Duration drain);

 private:
  explicit Server(const ServiceContext& context) : embedding_(context), scoring_(context), selection_(context) {}

  HealthService health_;
  EmbeddingServiceImpl embedding_;
  ScoringServiceImpl scoring_;
  SelectionServiceImpl selection_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SERVER_H_
