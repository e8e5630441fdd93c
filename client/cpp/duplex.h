// A call that streams both ways, for one thread that may wait with a deadline.
#ifndef MIDLAYER_CLIENT_CPP_DUPLEX_H_
#define MIDLAYER_CLIENT_CPP_DUPLEX_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/settings.h"

namespace midlayer::internal {

// Flow: Send() queues messages, which gRPC's threads write one after the other; Receive() takes answers, of which one
// is read ahead. A hold of gRPC's keeps the call from ending while either may still start an operation: until a read
// fails.
template <typename Request, typename Response>
class Duplex final : public grpc::ClientBidiReactor<Request, Response> {
 public:
  // `open(context, reactor)` opens the call; `settings` must outlive it. `timeout` is for messages of errors.
  template <typename Open>
  Duplex(const Settings& settings, const CallOptions& call, absl::Duration timeout, Open open)
      : settings_(settings), call_(call), timeout_(timeout) {
    open(&context_, this);
    this->AddHold();
    this->StartRead(&incoming_);
    this->StartCall();
    stop_.emplace(call_.stop, Cancel{&context_});
  }

  // Ends the call, if it has not ended.
  ~Duplex() override {
    stop_.reset();
    context_.TryCancel();
    std::unique_lock lock(mutex_);
    is_abandoned_ = true;
    if (has_answer_) Release();  // else the read that is under way does, whatever becomes of it
    changed_.wait(lock, [this] { return end_.has_value(); });
  }

  // Queues a message; where `capacity` wait already, waits for room until `deadline`. OK where the call has ended too:
  // Receive() tells why. DEADLINE_EXCEEDED where there was no room.
  absl::Status Send(Request message, size_t capacity, Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    const bool has_room =
        changed_.wait_until(lock, deadline, [&] { return !is_writable_ || outgoing_.size() < capacity; });
    if (!has_room) return TooLate();
    if (!is_writable_) return absl::OkStatus();
    outgoing_.push_back(std::move(message));
    if (outgoing_.size() == 1) this->StartWrite(&outgoing_.front());
    return absl::OkStatus();
  }

  // There are no more messages.
  void Finish() {
    const std::lock_guard lock(mutex_);
    is_finished_ = true;
    if (is_writable_ && outgoing_.empty()) this->StartWritesDone();
  }

  // Whether Receive() would not wait.
  bool has_answer() {
    const std::lock_guard lock(mutex_);
    return has_answer_ || end_.has_value();
  }

  // Whether the server takes no more messages.
  bool is_over() {
    const std::lock_guard lock(mutex_);
    return !is_writable_;
  }

  // The next answer; nothing where the server has ended the call. An error where it failed, or after the deadline.
  absl::StatusOr<std::optional<Response>> Receive(Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    const bool is_there = changed_.wait_until(lock, deadline, [this] { return has_answer_ || end_.has_value(); });
    if (!is_there) return TooLate();
    if (has_answer_) {
      std::optional<Response> answer(std::move(incoming_));
      incoming_ = Response();
      has_answer_ = false;
      this->StartRead(&incoming_);
      return answer;
    }
    if (!end_->ok()) return Describe(settings_, *end_, timeout_, call_);
    return std::optional<Response>();
  }

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };

  void OnReadDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    has_answer_ = ok;
    if (!ok || is_abandoned_) Release();
    changed_.notify_all();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    outgoing_.pop_front();
    if (!ok) is_writable_ = false;
    if (!is_writable_) {
      outgoing_.clear();
    } else if (!outgoing_.empty()) {
      this->StartWrite(&outgoing_.front());
    } else if (is_finished_) {
      this->StartWritesDone();
    }
    changed_.notify_all();
  }

  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    end_ = status;
    is_writable_ = false;
    changed_.notify_all();
  }

  // No further operation is started.
  void Release() {
    is_writable_ = false;
    this->RemoveHold();
  }

  absl::Status TooLate() const {
    return Describe(settings_, {grpc::StatusCode::DEADLINE_EXCEEDED, ""}, timeout_, call_);
  }

  const Settings& settings_;
  const CallOptions call_;
  const absl::Duration timeout_;
  grpc::ClientContext context_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, but for what an operation of gRPC is at work on.
  std::deque<Request> outgoing_;  // the first one is being written
  Response incoming_;
  bool has_answer_ = false;    // in incoming_, and nothing is being read
  bool is_finished_ = false;   // no more messages will be queued
  bool is_abandoned_ = false;  // no more answers will be taken
  bool is_writable_ = true;
  std::optional<grpc::Status> end_;

  std::optional<std::stop_callback<Cancel>> stop_;
};

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_DUPLEX_H_
