#include "client/cli/score_call.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "midlayer/v1/scoring.grpc.pb.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

using Stream = grpc::ClientReaderWriter<v1::ScoreLayersRequest, v1::ScoreLayersResponse>;

constexpr std::chrono::milliseconds kSenderPatience(200);

// What the caller's thread and the sender share. The sender owns a share of it, as it may outlive the call.
struct Call {
  Call(Connection* connection, std::unique_ptr<Dataset> examples)
      : stub(v1::ScoringService::NewStub(connection->channel())),
        dataset(std::move(examples)),
        stream(stub->ScoreLayers(&context)),
        guard(&context, connection->options().timeout_seconds) {}

  // Runs on the sender's thread.
  void Send(const v1::ScoreOptions& options);

  grpc::ClientContext context;
  const std::unique_ptr<v1::ScoringService::Stub> stub;

  // The sender's.
  const std::unique_ptr<Dataset> dataset;  // may be null

  // gRPC's own synchronisation: one thread may write while another reads.
  const std::unique_ptr<Stream> stream;
  CallGuard guard;

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  bool is_stopped = false;      // the sender shall write no more
  bool is_writing = false;      // it is inside a call of `stream`
  bool is_sent = false;         // all is written
  bool is_ended = false;        // the sender touches nothing any more
  absl::Status dataset_status;  // why there are no more examples

 private:
  // Writes one message, or where it is null tells the server that there are no more. False where that is no use.
  bool Write(const v1::ScoreLayersRequest* message);
};

bool Call::Write(const v1::ScoreLayersRequest* message) {
  std::unique_lock lock(mutex);
  if (is_stopped) return false;
  is_writing = true;
  lock.unlock();
  const bool ok = message != nullptr ? stream->Write(*message) : stream->WritesDone();
  lock.lock();
  is_writing = false;
  changed.notify_all();
  return ok;
}

void Call::Send(const v1::ScoreOptions& options) {
  v1::ScoreLayersRequest message;
  *message.mutable_options() = options;
  bool ok = Write(&message);
  absl::StatusOr<bool> found = dataset != nullptr;
  while (ok && found.ok() && *found) {
    found = dataset->Next(message.mutable_example());
    if (found.ok() && *found) ok = Write(&message);
  }
  ok = ok && found.ok() && Write(nullptr);
  const std::lock_guard lock(mutex);
  is_sent = ok;
  is_ended = true;
  dataset_status = found.status();
  if (ok) guard.Arm();
  if (!dataset_status.ok() && !is_stopped) context.TryCancel();
  changed.notify_all();
}

// Keeps the sender from writing and ends the call. The data set's error comes first: it is why the call was cancelled.
absl::Status Finish(Call& call, Connection& connection) {
  std::unique_lock lock(call.mutex);
  call.is_stopped = true;
  call.changed.wait(lock, [&call] { return !call.is_writing; });
  lock.unlock();
  const absl::Status status = connection.Describe(call.stream->Finish(), call.guard);
  lock.lock();
  return call.dataset_status.ok() ? status : call.dataset_status;
}

// A sender that waits for standard input cannot be ended: it is left alone until the program ends.
void EndSender(Call& call, std::thread sender) {
  std::unique_lock lock(call.mutex);
  const bool is_ended = call.changed.wait_for(lock, kSenderPatience, [&call] { return call.is_ended; });
  lock.unlock();
  if (is_ended) {
    sender.join();
  } else {
    sender.detach();
  }
}

}  // namespace

absl::StatusOr<v1::ScoreReport> CallScoreLayers(Connection* connection, const v1::ScoreOptions& options,
                                                std::unique_ptr<Dataset> dataset,
                                                const std::function<void(const v1::ScoreProgress&)>& on_progress) {
  const auto call = std::make_shared<Call>(connection, std::move(dataset));
  std::thread sender([call, options] { call->Send(options); });
  std::optional<v1::ScoreReport> report;
  v1::ScoreLayersResponse response;
  while (call->stream->Read(&response)) {
    {
      const std::lock_guard lock(call->mutex);
      if (call->is_sent) call->guard.Arm();
    }
    if (response.has_progress()) on_progress(response.progress());
    if (response.has_report()) report = std::move(*response.mutable_report());
  }
  const absl::Status status = Finish(*call, *connection);
  EndSender(*call, std::move(sender));
  MIDLAYER_RETURN_IF_ERROR(status);
  if (!report.has_value()) return absl::InternalError("the server sent no report");
  return *std::move(report);
}

}  // namespace midlayer::cli
