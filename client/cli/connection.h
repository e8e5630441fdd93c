// The way to one server: calls with a limit on waiting that Ctrl-C ends, and errors that say what to do.
#ifndef MIDLAYER_CLIENT_CLI_CONNECTION_H_
#define MIDLAYER_CLIENT_CLI_CONNECTION_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "midlayer/v1/embedding.grpc.pb.h"

namespace midlayer::cli {

struct ConnectionOptions {
  std::string target = "127.0.0.1:50051";
  double timeout_seconds = 60;  // the longest wait for one answer; 0: none
  bool tls = false;             // implied by the files below
  std::string tls_ca;           // PEM file of roots to trust; empty: the system's
  std::string tls_certificate;  // PEM file of the client's certificate, where the server asks for one; with its key
  std::string tls_key;
  std::string token_file;  // whose first word is sent as bearer token; empty: none
  bool is_shared = true;   // connections to the same target are one, as gRPC has it; else each is one of its own
};

// Cancels a call when the user wants to stop, or when an armed wait takes too long. Thread-safe.
class CallGuard {
 public:
  // `context` must outlive the guard, and not be reused. `timeout_seconds` as in ConnectionOptions.
  CallGuard(grpc::ClientContext* context, double timeout_seconds);
  ~CallGuard();
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;

  // A wait for the server begins; it ends.
  void Arm();
  void Disarm();

  bool timed_out() const { return timed_out_; }

 private:
  using Clock = std::chrono::steady_clock;

  void Watch();

  grpc::ClientContext* const context_;
  const double timeout_seconds_;
  std::atomic<bool> timed_out_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Clock::time_point> deadline_;  // guarded by mutex_
  bool is_over_ = false;                       // guarded by mutex_
  std::thread watcher_;
};

// A channel without a limit on the size of answers. Thread-safe.
//
// Errors of all calls are for people, one line each, and their codes are: UNAVAILABLE (no server there, or it went
// away), CANCELLED (Ctrl-C), DEADLINE_EXCEEDED (a wait took longer than the timeout), or what the server said.
class Connection {
 public:
  // Connects, for at most 10 seconds or the timeout if that is shorter. UNAVAILABLE where it cannot, NOT_FOUND or
  // INVALID_ARGUMENT where a file of the options cannot be used.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);

  absl::StatusOr<v1::EmbedResponse> Embed(const v1::EmbedRequest& request);
  absl::StatusOr<v1::GetModelResponse> GetModel();

  // Calls a method by its name ("/package.Service/Method") with a message that is already bytes.
  absl::StatusOr<std::string> CallBytes(const std::string& method, const std::string& request);

  // A call's end, in the words of this class. `guard` watched over the call.
  absl::Status Describe(const grpc::Status& status, const CallGuard& guard) const;

  // Makes one call of a stub of channel(), watched over: `call` is given its context.
  absl::Status Call(const std::function<grpc::Status(grpc::ClientContext*)>& call);

  v1::EmbeddingService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const ConnectionOptions& options() const { return options_; }

 private:
  Connection(const ConnectionOptions& options, std::shared_ptr<grpc::Channel> channel);

  absl::Status WaitUntilReady();

  const ConnectionOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::EmbeddingService::Stub> stub_;
};

// The exit code for the end of a command.
int ExitCodeOf(const absl::Status& status);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_CONNECTION_H_
