#include "server/engine/batcher.h"

#include <utility>

namespace midlayer {

Batcher::Batcher(int64_t batch_tokens, Clock clock)
    : clock_(std::move(clock)), queue_(batch_tokens), assembler_([this] { AssembleLoop(); }) {}

Batcher::~Batcher() { assembler_.join(); }

void Batcher::Push(std::vector<Row> rows) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    for (Row& row : rows) row.request->Fail(absl::UnavailableError("the server is shutting down"));
    return;
  }
  for (Row& row : rows) queue_.Push(std::move(row));
  changed_.notify_all();
}

std::optional<Batch> Batcher::Next() {
  std::unique_lock lock(mutex_);
  runner_is_free_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return ahead_.has_value() || closed_; });
  runner_is_free_ = false;
  std::optional<Batch> batch = std::exchange(ahead_, std::nullopt);
  changed_.notify_all();
  return batch;
}

void Batcher::AssembleLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] {
      const bool worth_it = queue_.HasFullBatch() || (runner_is_free_ && queue_.rows() > 0);
      return closed_ || (!ahead_.has_value() && worth_it);
    });
    const absl::Time now = clock_();
    std::vector<Row> rows = queue_.Take(now);
    if (closed_) {
      if (rows.empty()) return;
      lock.unlock();
      for (Row& row : rows) row.request->Fail(absl::UnavailableError("the server is shutting down"));
      lock.lock();
      continue;
    }
    if (rows.empty()) continue;  // all of them had ended
    lock.unlock();
    Batch batch = Assemble(std::move(rows), now);
    lock.lock();
    ahead_ = std::move(batch);
    changed_.notify_all();
  }
}

void Batcher::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

int64_t Batcher::waiting_rows() const {
  std::lock_guard lock(mutex_);
  return queue_.rows();
}

int64_t Batcher::waiting_tokens() const {
  std::lock_guard lock(mutex_);
  return queue_.tokens();
}

}  // namespace midlayer
