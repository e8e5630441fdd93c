// For tests of the service: calls under way, calls of raw bytes, and matchers of their outcome.
#ifndef MIDLAYER_TESTS_SERVICE_CALLS_H_
#define MIDLAYER_TESTS_SERVICE_CALLS_H_

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/live_server.h"

namespace midlayer {

MATCHER_P2(IsStatus, code, message, "") {
  *result_listener << "code " << arg.error_code() << ": " << arg.error_message();
  return arg.error_code() == code && testing::Matches(message)(arg.error_message());
}

MATCHER(IsOk, "") {
  *result_listener << "code " << arg.error_code() << ": " << arg.error_message();
  return arg.ok();
}

// A call of Embed under way on its own thread.
inline std::future<Outcome> Start(const LiveServer& live, v1::EmbedRequest request) {
  return std::async(std::launch::async, [&live, request = std::move(request)] { return live.Embed(request); });
}

// Closes the gate and has one request, "plug", hold the device behind it.
inline std::future<Outcome> HoldDevice(LiveServer& live) {
  live.gate().Close();
  std::future<Outcome> plug = Start(live, MeanOf(1, {"plug"}));
  EXPECT_TRUE(Eventually([&] { return live.gate().Saw("plug"); }));
  return plug;
}

inline grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Sends `bytes` as they are, also where protobuf would refuse to; the answer's bytes go to `answer`.
inline grpc::Status SendRaw(const LiveServer& live, const std::string& method, const std::string& bytes,
                            std::string* answer = nullptr) {
  grpc::GenericStub stub(live.channel());
  const auto context = NewContext();
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(context.get(), method, Bytes(bytes), &queue);
  call->StartCall();
  grpc::ByteBuffer buffer;
  grpc::Status status;
  call->Finish(&buffer, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  std::vector<grpc::Slice> slices;
  if (answer != nullptr && status.ok() && buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) answer->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return status;
}

// What the layer and the pooling should give, normalised.
inline std::vector<float> Normalized(std::vector<float> values) {
  double squares = 0;
  for (float value : values) squares += static_cast<double>(value) * value;
  for (float& value : values) value = static_cast<float>(value / std::sqrt(squares));
  return values;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SERVICE_CALLS_H_
