// grpc.health.v1.Health. gRPC's own implementation keeps the calls that watch open for ever, so that a server with a
// load balancer in front would never end before its drain timeout; this one ends them.
#ifndef MIDLAYER_SERVER_SERVICE_HEALTH_SERVICE_H_
#define MIDLAYER_SERVER_SERVICE_HEALTH_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace midlayer {

// Thread-safe. The name "" stands for the server as a whole.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  void SetServing(const std::string& service, bool serving);

  // From now on nothing serves: everybody who watches is told, and their calls end.
  void Shutdown();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* call,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* call, const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // SERVICE_UNKNOWN for a name that was never set. mutex_ is held.
  Status StatusOf(const std::string& service) const;
  // Tells those who watch `service` (null: all) what it is now, outside the lock: gRPC may call back.
  void Tell(const std::string* service);
  void Remove(Watcher* watcher);

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, bool> serving_;
  std::map<Watcher*, std::shared_ptr<Watcher>> watchers_;
  bool shut_down_ = false;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_HEALTH_SERVICE_H_
