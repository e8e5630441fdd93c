#include "client/cpp/embed_stream.h"

#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <variant>

#include "client/cpp/duplex.h"
#include "client/cpp/window.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

using Call = Duplex<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();  // the window bounds them

// About as long as `pause`, so that many clients do not come back at once; or until the caller stops.
void Wait(absl::Duration pause, const std::stop_token& stop) {
  thread_local std::minstd_rand random(std::random_device{}());
  pause *= std::uniform_real_distribution(0.8, 1.2)(random);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop, absl::ToChronoNanoseconds(pause), [] { return false; });
}

class TextStream {
 public:
  TextStream(Connection& connection, const StreamRun& run, const CallOptions& call, absl::Duration timeout)
      : connection_(connection),
        call_options_(call),
        timeout_(timeout),
        window_(run.request),
        patience_(timeout, connection.settings().max_attempts, run.is_timeout_per_answer, Clock::now()) {
    Open();
  }

  const Window& window() const { return window_; }
  // Whether the oldest message has its answer, or needs none.
  bool has_next() { return !window_.is_empty() && (!window_.awaits_answer() || call_->has_answer()); }

  // Sends the texts of a chunk. Nothing: there are no more.
  void Send(std::optional<Chunk> chunk) {
    if (!chunk.has_value()) {
      is_done_ = true;
      call_->Finish();
    } else if (const v1::EmbedStreamRequest* message = window_.Push(*std::move(chunk)); message != nullptr) {
      Queue(*message);
    }
  }

  // What became of the oldest message.
  absl::StatusOr<std::variant<Embeddings, StreamError>> Next() {
    if (!window_.awaits_answer()) return window_.Take(nullptr);
    MIDLAYER_ASSIGN_OR_RETURN(const v1::EmbedStreamResponse answer, Receive());
    return window_.Take(&answer);
  }

  // Lets the server end the call, after the last answer, so that it counts as ended well there.
  void Finish() { call_->Receive(patience_.deadline()).IgnoreError(); }

 private:
  void Open() {
    call_ = std::make_unique<Call>(connection_.settings(), call_options_, timeout_,
                                   [this](grpc::ClientContext* context, auto* reactor) {
                                     connection_.embedding().async()->EmbedStream(context, reactor);
                                   });
  }

  void Queue(const v1::EmbedStreamRequest& message) {
    call_->Send(message, kAnyNumber, Clock::time_point::max()).IgnoreError();  // there is room
  }

  void OpenAgain() {
    Open();
    for (const v1::EmbedStreamRequest* message : window_.Unanswered()) Queue(*message);
    if (is_done_) call_->Finish();
  }

  absl::StatusOr<v1::EmbedStreamResponse> Receive() {
    patience_.Asked(Clock::now());
    while (true) {
      absl::StatusOr<std::optional<v1::EmbedStreamResponse>> answer = call_->Receive(patience_.deadline());
      if (!answer.ok()) {
        MIDLAYER_ASSIGN_OR_RETURN(const absl::Duration pause, patience_.Pause(answer.status(), Clock::now()));
        Wait(pause, call_options_.stop);
        OpenAgain();
        continue;
      }
      if (!answer->has_value()) return absl::InternalError("the server sent fewer answers than messages");
      patience_.Answered();
      return **std::move(answer);
    }
  }

  Connection& connection_;
  const CallOptions& call_options_;
  const absl::Duration timeout_;
  Window window_;
  Patience patience_;
  bool is_done_ = false;
  std::unique_ptr<Call> call_;
};

absl::Status Deliver(const StreamRun& run, std::variant<Embeddings, StreamError> found) {
  if (auto* result = std::get_if<Embeddings>(&found)) return run.on_result(std::move(*result));
  const StreamError& error = std::get<StreamError>(found);
  if (!run.on_error) return error.status;
  run.on_error(error);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunStream(Connection& connection, const StreamRun& run, const CallOptions& call) {
  MIDLAYER_ASSIGN_OR_RETURN(const absl::Duration timeout, TimeoutOf(connection.settings(), call));
  TextStream stream(connection, run, call, timeout);
  bool has_more = true;
  while (has_more || !stream.window().is_empty()) {
    if (has_more && !stream.window().is_full() && !stream.has_next()) {
      std::optional<Chunk> chunk = run.next_chunk();
      has_more = chunk.has_value();
      stream.Send(std::move(chunk));
      continue;
    }
    MIDLAYER_ASSIGN_OR_RETURN(auto found, stream.Next());
    MIDLAYER_RETURN_IF_ERROR(Deliver(run, std::move(found)));
  }
  stream.Finish();
  return absl::OkStatus();
}

}  // namespace midlayer::internal
