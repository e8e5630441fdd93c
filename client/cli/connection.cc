#include "client/cli/connection.h"

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <cctype>
#include <future>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/channel.h"
#include "client/cli/console.h"
#include "client/cli/interrupt.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

constexpr double kConnectSeconds = 10;
constexpr int kConnectTries = 4;
constexpr std::chrono::milliseconds kPoll(kInterruptPollMs);

std::chrono::steady_clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
}

// gRPC's messages are chains, "failed to connect to all addresses; last error: UNKNOWN: ipv4:…: Failed to connect to
// remote host: Connection refused"; the last link is the reason.
std::string Reason(const std::string& message) {
  const size_t colon = message.rfind(": ");
  std::string reason = Printable(colon == std::string::npos ? message : message.substr(colon + 2));
  if (!reason.empty()) reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  return reason;
}

absl::Status CannotReach(const std::string& target, const std::string& reason) {
  return absl::UnavailableError(absl::StrCat("cannot reach ", target, " (", reason,
                                             "): is midlayer-server running? start it with midlayer-server "
                                             "--model=DIRECTORY, or name another server with --target"));
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToBytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace

CallGuard::CallGuard(grpc::ClientContext* context, double timeout_seconds)
    : context_(context), timeout_seconds_(timeout_seconds), watcher_([this] { Watch(); }) {}

CallGuard::~CallGuard() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_one();
  watcher_.join();
}

void CallGuard::Arm() {
  if (timeout_seconds_ <= 0) return;
  const std::lock_guard lock(mutex_);
  deadline_ = Clock::now() + Seconds(timeout_seconds_);
}

void CallGuard::Disarm() {
  const std::lock_guard lock(mutex_);
  deadline_.reset();
}

void CallGuard::Watch() {
  std::unique_lock lock(mutex_);
  while (!is_over_) {
    const bool is_late = deadline_.has_value() && Clock::now() > *deadline_;
    if (is_late || Interrupted()) {
      timed_out_ = is_late;
      context_->TryCancel();
      return;
    }
    changed_.wait_for(lock, kPoll);
  }
}

Connection::Connection(const ConnectionOptions& options, std::shared_ptr<grpc::Channel> channel)
    : options_(options), channel_(std::move(channel)), stub_(v1::EmbeddingService::NewStub(channel_)) {}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, MakeChannel(options));
  std::unique_ptr<Connection> connection(new Connection(options, std::move(channel)));
  MIDLAYER_RETURN_IF_ERROR(connection->WaitUntilReady());
  return connection;
}

absl::Status Connection::WaitUntilReady() {
  const double timeout = options_.timeout_seconds;
  const double seconds = timeout > 0 ? std::min(timeout, kConnectSeconds) : kConnectSeconds;
  const auto deadline = std::chrono::steady_clock::now() + Seconds(seconds);
  int failures = 0;
  grpc_connectivity_state before = GRPC_CHANNEL_IDLE;
  while (true) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
    // Only a call is told why; it fails at once. Should it not, the server has come up in this moment. Nobody listening
    // is final; anything else may pass (a busy machine fails a connect now and then) and gets a few more tries.
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE && before != state) {
      const absl::Status status = GetModel().status();
      if (!absl::IsUnavailable(status)) return absl::OkStatus();
      const bool refused = absl::StrContains(status.message(), "connection refused");
      if (refused || ++failures >= kConnectTries) return status;
    }
    before = state;
    if (Interrupted()) return absl::CancelledError("interrupted");
    if (std::chrono::steady_clock::now() > deadline) {
      return CannotReach(options_.target, absl::StrCat("no answer in ", seconds, " s"));
    }
    channel_->WaitForStateChange(state, std::chrono::system_clock::now() + kPoll);
  }
}

absl::Status Connection::Describe(const grpc::Status& status, const CallGuard& guard) const {
  if (status.ok()) return absl::OkStatus();
  const std::string& message = status.error_message();
  if (guard.timed_out()) {
    return absl::DeadlineExceededError(absl::StrCat("no answer from ", options_.target, " within ",
                                                    options_.timeout_seconds, " s: wait longer with --timeout"));
  }
  if (Interrupted()) return absl::CancelledError("interrupted");
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    const bool is_connecting = message.find("last error: ") != std::string::npos ||
                               message.find("failed to connect") != std::string::npos ||
                               message.find("resolution") != std::string::npos;
    if (is_connecting) return CannotReach(options_.target, Reason(message));
    return absl::UnavailableError(
        absl::StrCat(options_.target, " is not available (", Printable(message), "): try again later"));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), Printable(message));
}

absl::Status Connection::Call(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  grpc::ClientContext context;
  CallGuard guard(&context, options_.timeout_seconds);
  guard.Arm();
  return Describe(call(&context), guard);
}

absl::StatusOr<v1::EmbedResponse> Connection::Embed(const v1::EmbedRequest& request) {
  v1::EmbedResponse response;
  MIDLAYER_RETURN_IF_ERROR(
      Call([&](grpc::ClientContext* context) { return stub_->Embed(context, request, &response); }));
  return response;
}

absl::StatusOr<v1::GetModelResponse> Connection::GetModel() {
  v1::GetModelResponse response;
  MIDLAYER_RETURN_IF_ERROR(
      Call([&](grpc::ClientContext* context) { return stub_->GetModel(context, v1::GetModelRequest(), &response); }));
  return response;
}

absl::StatusOr<std::string> Connection::CallBytes(const std::string& method, const std::string& request) {
  grpc::GenericStub stub(channel_);
  const grpc::ByteBuffer request_buffer = ToBuffer(request);
  grpc::ByteBuffer response;
  MIDLAYER_RETURN_IF_ERROR(Call([&](grpc::ClientContext* context) {
    // Shared: gRPC's thread may still be inside of it when this one goes on.
    const auto status = std::make_shared<std::promise<grpc::Status>>();
    stub.UnaryCall(context, method, grpc::StubOptions(), &request_buffer, &response,
                   [status](grpc::Status end) { status->set_value(std::move(end)); });
    return status->get_future().get();
  }));
  return ToBytes(response);
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (Interrupted()) return kExitInterrupted;
  return absl::IsUnavailable(status) ? kExitUnreachable : kExitFailed;
}

}  // namespace midlayer::cli
