#include "server/service/health_service.h"

#include <utility>
#include <vector>

namespace midlayer {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One call of Watch: sends the status now and whenever it differs from what was sent last. Belongs to the
// service until OnDone(). Start…() and Finish() are called outside the lock: gRPC may call back from them.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* service, std::string name) : service_(service), name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  // `last`: nothing follows, the call ends once this is sent.
  void Update(Status status, bool last) {
    std::unique_lock lock(mutex_);
    wanted_ = status;
    ending_ |= last;
    Act(std::move(lock));
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    ending_ |= !ok;
    if (!ok) sent_ = wanted_;
    Act(std::move(lock));
  }

  void OnCancel() override {
    std::unique_lock lock(mutex_);
    ending_ = true;
    sent_ = wanted_;
    Act(std::move(lock));
  }

  void OnDone() override { service_->Remove(this); }

 private:
  void Act(std::unique_lock<std::mutex> lock) {
    const bool write = !writing_ && !finished_ && wanted_ != sent_;
    const bool finish = !writing_ && !write && !finished_ && ending_;
    if (write) {
      response_.set_status(wanted_);
      sent_ = wanted_;
    }
    writing_ |= write;
    finished_ |= finish;
    lock.unlock();
    if (write) StartWrite(&response_);
    if (finish) Finish({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
  }

  HealthService* const service_;
  const std::string name_;
  HealthCheckResponse response_;  // belongs to the write under way

  std::mutex mutex_;
  // Guarded by mutex_.
  Status wanted_ = HealthCheckResponse::UNKNOWN;
  Status sent_ = HealthCheckResponse::UNKNOWN;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

void HealthService::SetServing(const std::string& service, bool serving) {
  {
    std::lock_guard lock(mutex_);
    serving_[service] = serving;
  }
  Tell(&service);
}

void HealthService::Shutdown() {
  {
    std::lock_guard lock(mutex_);
    shut_down_ = true;
  }
  Tell(nullptr);
}

void HealthService::Tell(const std::string* service) {
  struct Update {
    std::shared_ptr<Watcher> watcher;
    Status status;
    bool last;
  };
  std::vector<Update> updates;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, watcher] : watchers_) {
      if (service == nullptr || watcher->name() == *service) {
        updates.push_back({watcher, StatusOf(watcher->name()), shut_down_});
      }
    }
  }
  for (const Update& update : updates) update.watcher->Update(update.status, update.last);
}

HealthService::Status HealthService::StatusOf(const std::string& service) const {
  const auto found = serving_.find(service);
  if (found == serving_.end()) return HealthCheckResponse::SERVICE_UNKNOWN;
  return found->second && !shut_down_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* call, const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::Status status;
  {
    std::lock_guard lock(mutex_);
    response->set_status(StatusOf(request->service()));
  }
  if (response->status() == HealthCheckResponse::SERVICE_UNKNOWN) {
    status = {grpc::StatusCode::NOT_FOUND,
              "service: expected a service of this server, found \"" + request->service() + "\""};
  }
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(grpc::CallbackServerContext*,
                                                                    const HealthCheckRequest* request) {
  auto watcher = std::make_shared<Watcher>(this, request->service());
  std::unique_lock lock(mutex_);
  watchers_[watcher.get()] = watcher;
  const Status status = StatusOf(watcher->name());
  const bool last = shut_down_;
  lock.unlock();
  watcher->Update(status, last);
  return watcher.get();
}

void HealthService::Remove(Watcher* watcher) {
  std::lock_guard lock(mutex_);
  watchers_.erase(watcher);
}

}  // namespace midlayer
