// The channel of a client, and calls over it.
#ifndef MIDLAYER_CLIENT_CPP_CONNECTION_H_
#define MIDLAYER_CLIENT_CPP_CONNECTION_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/cutter.h"
#include "client/cpp/settings.h"
#include "midlayer/client_options.h"
#include "midlayer/v1/embedding.grpc.pb.h"
#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"

namespace midlayer::internal {

// One channel, with what was learned over it. Thread-safe.
class Connection {
 public:
  explicit Connection(const ClientOptions& options);

  // Whether the options can be used; of the others below, nothing may be called where not, but Call.
  const absl::Status& status() const { return status_; }

  // Makes one call with one answer: `method` is given its context.
  absl::Status Call(const CallOptions& call, const std::function<grpc::Status(grpc::ClientContext*)>& method);

  // The model, and as a by-product the limits of a message.
  absl::StatusOr<v1::GetModelResponse> GetModel(const CallOptions& call);
  // The limits, asked for once.
  absl::StatusOr<Limits> GetLimits(const CallOptions& call);
  // They are perhaps those of a server that was replaced.
  void ForgetLimits();

  const Settings& settings() const { return settings_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::EmbeddingService::Stub& embedding() { return *embedding_; }
  v1::ScoringService::Stub& scoring() { return *scoring_; }
  v1::SelectionService::Stub& selection() { return *selection_; }

 private:
  const Settings settings_;
  absl::Status status_;  // constant after construction, like all up to the mutex
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EmbeddingService::Stub> embedding_;
  std::unique_ptr<v1::ScoringService::Stub> scoring_;
  std::unique_ptr<v1::SelectionService::Stub> selection_;

  std::mutex mutex_;
  std::optional<Limits> limits_;  // guarded by mutex_
};

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_CONNECTION_H_
