// Requests and rows for the tests of the engine, without tokenizer and model.
#ifndef MIDLAYER_TESTS_ENGINE_REQUESTS_H_
#define MIDLAYER_TESTS_ENGINE_REQUESTS_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/request.h"

namespace midlayer {

inline absl::Time Second(int second) { return absl::FromUnixSeconds(second); }

// How a request ended, and how often. Thread-safe; shared with the request's callback.
class Outcome {
 public:
  void Set(absl::StatusOr<EmbedResult> result) {
    std::lock_guard lock(mutex_);
    ++times_;
    result_ = std::move(result);
    changed_.notify_all();
  }

  // Blocks until the request has ended; UNKNOWN where it does not.
  absl::StatusOr<EmbedResult> Wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [this] { return result_.has_value(); })) {
      return absl::UnknownError("the request did not end within 30 seconds");
    }
    return *result_;
  }

  absl::Status status() { return Wait().status(); }

  int times() const {
    std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::StatusOr<EmbedResult>> result_;
  int times_ = 0;
};

struct Tracked {
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
  std::shared_ptr<Request> request;
};

inline EmbedTask TaskOf(size_t texts, int layer = 1, Priority priority = Priority::kInteractive) {
  EmbedTask task;
  task.texts.resize(texts);
  task.outputs = {OutputSpec{.layers = {layer}, .normalize = false}};
  task.priority = priority;
  return task;
}

inline Tracked Track(EmbedTask task) {
  Tracked tracked;
  tracked.request = std::make_shared<Request>(
      std::move(task), Second(0),
      [outcome = tracked.outcome](absl::StatusOr<EmbedResult> result) { outcome->Set(std::move(result)); });
  return tracked;
}

// Text number `text` of `request`, with so many tokens; all have the id `text`.
inline Row RowOf(const std::shared_ptr<Request>& request, int tokens, size_t text = 0, absl::Time queued = Second(0)) {
  return Row{.request = request,
             .text = text,
             .ids = std::vector<int32_t>(static_cast<size_t>(tokens), static_cast<int32_t>(text)),
             .queued = queued};
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_ENGINE_REQUESTS_H_
