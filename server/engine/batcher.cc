#include "server/engine/batcher.h"

#include <utility>

namespace midlayer {

namespace {

void FailAll(const std::vector<Row>& rows) {
  for (const Row& row : rows) row.request->Fail(absl::UnavailableError("the server is shutting down"));
}

}  // namespace

Batcher::Batcher(int64_t batch_tokens, Clock clock)
    : clock_(std::move(clock)), queue_(batch_tokens), assembler_([this] { AssembleLoop(); }) {}

void Batcher::Push(std::vector<Row> rows) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    return FailAll(rows);
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
  if (closed_) return std::nullopt;
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
    if (closed_) break;
    const absl::Time now = clock_();
    std::vector<Row> rows = queue_.Take(now);
    if (rows.empty()) continue;  // all of them had ended
    lock.unlock();
    Batch batch = Assemble(std::move(rows), now);
    lock.lock();
    ahead_ = std::move(batch);
    changed_.notify_all();
  }
  // Closed: nobody adds to the queue or takes from the slot any more.
  std::vector<Row> rows;
  if (ahead_.has_value()) rows = std::move(ahead_->rows);
  ahead_.reset();
  do {
    lock.unlock();
    FailAll(rows);
    lock.lock();
    rows = queue_.Take(clock_());
  } while (!rows.empty());
}

void Batcher::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  if (assembler_.joinable()) assembler_.join();
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
