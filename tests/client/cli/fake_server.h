// A server for tests of the client: real gRPC on a free port, vectors that are told from their text.
#ifndef MIDLAYER_TESTS_CLIENT_CLI_FAKE_SERVER_H_
#define MIDLAYER_TESTS_CLIENT_CLI_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "midlayer/v1/embedding.grpc.pb.h"
#include "tests/client/cli/fake_scoring.h"

namespace midlayer::cli {

constexpr int kFakeLayers = 6;

// What a text means to the server: "bad" in it: INVALID_ARGUMENT; "slow": no answer until the call is cancelled;
// "gone": the stream ends with UNAVAILABLE. Any other text gets the vector (its number or else its length, layer, 0.1).
class FakeService : public v1::EmbeddingService::Service {
 public:
  grpc::Status Embed(grpc::ServerContext* context, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override {
    ++messages;
    most_texts = std::max<int>(most_texts, request->texts_size());
    if (request->layer() > kFakeLayers) {
      return {grpc::StatusCode::INVALID_ARGUMENT, absl::StrCat("layer: expected 0 to 6, found ", request->layer())};
    }
    for (int i = 0; i < request->texts_size(); ++i) {
      const std::string& text = request->texts(i);
      if (text.find("bad") != std::string::npos) {
        return {grpc::StatusCode::INVALID_ARGUMENT, absl::StrCat("texts[", i, "]: expected good, found bad")};
      }
      if (text.find("gone") != std::string::npos) return {grpc::StatusCode::UNAVAILABLE, "shutting down"};
      while (text.find("slow") != std::string::npos && !context->IsCancelled()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    }
    Answer(*request, response);
    return grpc::Status::OK;
  }

  grpc::Status EmbedStream(grpc::ServerContext* context,
                           grpc::ServerReaderWriter<v1::EmbedStreamResponse, v1::EmbedStreamRequest>* stream) override {
    v1::EmbedStreamRequest request;
    while (stream->Read(&request)) {
      v1::EmbedStreamResponse response;
      const grpc::Status status = Embed(context, &request.request(), response.mutable_response());
      if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return status;
      if (!status.ok()) {
        response.mutable_error()->set_code(status.error_code());
        response.mutable_error()->set_message(status.error_message());
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*, v1::GetModelResponse* response) override {
    response->set_name("fake");
    response->set_architecture("bert");
    response->set_layers(kFakeLayers);
    response->set_max_layer(kFakeLayers);
    response->set_server_version("9.9");
    return grpc::Status::OK;
  }

  std::atomic<int> messages = 0;
  std::atomic<int> most_texts = 0;  // of one message

 private:
  static void AddOutput(int layer, v1::Pooling pooling, v1::EmbedResponse* response) {
    v1::OutputInfo& output = *response->add_outputs();
    output.add_layers(layer);
    output.set_pooling(pooling == v1::POOLING_UNSPECIFIED ? v1::POOLING_MEAN : pooling);
    output.set_dimensions(3);
  }

  static void Answer(const v1::EmbedRequest& request, v1::EmbedResponse* response) {
    for (const v1::OutputSpec& spec : request.outputs()) {
      AddOutput(spec.layers_size() > 0 ? spec.layers(0) : kFakeLayers, spec.pooling(), response);
    }
    if (request.outputs_size() == 0) {
      AddOutput(request.has_layer() ? request.layer() : kFakeLayers, request.pooling(), response);
    }
    for (const std::string& text : request.texts()) {
      v1::Embedding& embedding = *response->add_embeddings();
      embedding.set_tokens(static_cast<uint32_t>(text.size()));
      const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
      for (const v1::OutputInfo& output : response->outputs()) {
        v1::Vector& vector = *embedding.add_vectors();
        vector.add_values(is_number ? std::stof(text) : static_cast<float>(text.size()));
        vector.add_values(static_cast<float>(output.layers(0)));
        vector.add_values(0.1F);
      }
    }
  }
};

// Serves from construction to destruction, with gRPC's health service.
class FakeServer {
 public:
  FakeServer() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    // Else the kernel may give two tests that run side by side the same port.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    builder.RegisterService(&scoring_);
    builder.RegisterService(&selections_);
    server_ = builder.BuildAndStart();
  }

  ~FakeServer() { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }
  FakeService& service() { return service_; }
  FakeScoring& scoring() { return scoring_; }
  FakeSelections& selections() { return selections_; }
  grpc::Server& server() { return *server_; }

 private:
  FakeService service_;
  FakeScoring scoring_;
  FakeSelections selections_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_TESTS_CLIENT_CLI_FAKE_SERVER_H_
