// A server for tests of the library: that of the command's tests, which in addition does what it is told before it
// answers, and can have another port, encryption or limits.
#ifndef MIDLAYER_TESTS_CLIENT_CPP_SCRIPTED_SERVER_H_
#define MIDLAYER_TESTS_CLIENT_CPP_SCRIPTED_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/client/cli/fake_server.h"

namespace midlayer {

// Of every call of Embed and message of EmbedStream: its number, from 1, and its context. A status that is not OK is
// the answer.
using Script = std::function<grpc::Status(int call, grpc::ServerContext*)>;

inline Script AlwaysFail(grpc::StatusCode code, const std::string& message) {
  return [=](int, grpc::ServerContext*) { return grpc::Status(code, message); };
}

class ScriptedService final : public cli::FakeService {
 public:
  grpc::Status Embed(grpc::ServerContext* context, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override {
    const grpc::Status status = Run(context, *request);
    return status.ok() ? FakeService::Embed(context, request, response) : status;
  }

  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    response->set_max_texts(max_texts);
    response->set_max_text_bytes(1 << 20);
    return FakeService::GetModel(context, request, response);
  }

  void set_script(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  // A piece of metadata of the last call, and its message.
  std::string metadata(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = metadata_.find(name);
    return found == metadata_.end() ? "" : found->second;
  }
  v1::EmbedRequest request() const {
    const std::lock_guard lock(mutex_);
    return request_;
  }

  std::atomic<int> max_texts = 256;
  std::atomic<int> calls = 0;  // of Embed, messages of EmbedStream among them

 private:
  grpc::Status Run(grpc::ServerContext* context, const v1::EmbedRequest& request) {
    Script script;
    const int call = ++calls;
    {
      const std::lock_guard lock(mutex_);
      script = script_;
      request_ = request;
      for (const auto& [name, value] : context->client_metadata()) {
        metadata_[std::string(name.data(), name.size())] = std::string(value.data(), value.size());
      }
    }
    return script ? script(call, context) : grpc::Status::OK;
  }

  mutable std::mutex mutex_;
  Script script_;  // guarded by mutex_, like all below
  std::map<std::string, std::string> metadata_;
  v1::EmbedRequest request_;
};

// Serves from construction to destruction, which cancels what is under way.
class ScriptedServer {
 public:
  // `port` 0: a free one.
  explicit ScriptedServer(
      int port = 0, const std::shared_ptr<grpc::ServerCredentials>& credentials = grpc::InsecureServerCredentials())
      : port_(port) {
    grpc::EnableDefaultHealthCheckService(true);
    // A port that was used before may be another's for a moment.
    for (int i = 0; i < 100 && server_ == nullptr; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      Start(port, credentials);
    }
    if (server_ == nullptr) ADD_FAILURE() << "the port " << port << " cannot be listened on";
  }

  ~ScriptedServer() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }
  int port() const { return port_; }
  ScriptedService& service() { return service_; }
  cli::FakeScoring& scoring() { return scoring_; }
  cli::FakeSelections& selections() { return selections_; }

 private:
  void Start(int port, const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    grpc::ServerBuilder builder;
    // Else the kernel may give two tests that run side by side the same port.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), credentials, &port_);
    builder.RegisterService(&service_);
    builder.RegisterService(&scoring_);
    builder.RegisterService(&selections_);
    server_ = builder.BuildAndStart();
  }

  ScriptedService service_;
  cli::FakeScoring scoring_;
  cli::FakeSelections selections_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_CLIENT_CPP_SCRIPTED_SERVER_H_
