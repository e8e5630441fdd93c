// The gRPC server's life: start, serve, end.
#ifndef MIDLAYER_SERVER_SERVICE_SERVER_H_
#define MIDLAYER_SERVER_SERVICE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/service/answer_gate.h"
#include "server/service/embedding_service.h"
#include "server/service/health_service.h"
#include "server/service/scoring_service.h"
#include "server/service/selection_service.h"
#include "server/service/tls.h"

namespace midlayer {

// Serves until Shutdown(). Health (grpc.health.v1, overall and by service) and reflection are on.
class Server {
 public:
  struct Options {
    std::string listen = "127.0.0.1:50051";  // port 0: any free one
    int max_message_bytes = 64 << 20;        // of a request
    TlsOptions tls;
    // After so long a connection is told to end once its calls have, and clients connect again: so that a load balancer
    // in front finds new servers. Spread by a tenth either way.
    absl::Duration max_connection_age = absl::InfiniteDuration();
  };

  ~Server();

  // UNAVAILABLE where the address cannot be listened on; errors of MakeServerCredentials(). What `context` points to
  // must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options, const ServiceContext& context);

  // Host and port, the real one where port 0 was asked for.
  const std::string& address() const { return address_; }

  // Whether the server can compute: health says NOT_SERVING while `health` is not OK, and nothing else changes.
  void SetHealth(const absl::Status& health);
  // Health says NOT_SERVING from now on; everything else goes on as before.
  void StopBeingHealthy();
  // What was set last: a server that is not OK is to be started again. Thread-safe, as the others here.
  absl::Status health() const;
  // OK, or why no calls should be sent here: it cannot compute, ends, or could never read the store that tells which
  // layer requests without one get. By the name of a service, health says the same; by the name "", that of the server
  // as a whole, it leaves out the last.
  absl::Status readiness() const;
  // The same, and new calls are refused (UNAVAILABLE), calls under way go on; those that have not ended
  // after `drain` are cancelled. Returns when no call is left. A client that calls again whenever it was answered sees
  // no other code; a call that arrives by itself in the moment in which its connection is told may see CANCELLED.
  void Shutdown(absl::Duration drain);

 private:
  explicit Server(const ServiceContext& context)
      : embedding_(context), scoring_(context), selection_(context), telemetry_(*context.telemetry) {}

  // mutex_ is held for these: what was told last is what is so.
  absl::Status WholeNow() const;
  absl::Status ReadinessNow() const;
  void TellHealth();

  HealthService health_;
  mutable std::mutex mutex_;
  absl::Status told_health_;   // guarded by mutex_
  absl::Status store_health_;  // guarded by mutex_
  bool draining_ = false;      // guarded by mutex_
  Selections* followed_ = nullptr;
  EmbeddingServiceImpl embedding_;
  ScoringServiceImpl scoring_;
  SelectionServiceImpl selection_;
  Telemetry& telemetry_;
  std::string address_;
  AnswerGate gate_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SERVER_H_
