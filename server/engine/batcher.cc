#include "server/engine/batcher.h"

#include <utility>

namespace midlayer {

namespace {

// Without the rows whose requests have ended.
Batch DropUnwanted(Batch batch, absl::Time now) {
  const size_t removed = std::erase_if(batch.rows, [now](const Row& row) { return !IsWanted(row, now); });
  return removed == 0 ? std::move(batch) : Assemble(std::move(batch.rows), batch.assembled);
}

void FailAll(const std::vector<Row>& rows) {
  for (const Row& row : rows) row.request->Fail(absl::UnavailableError("the server is shutting down"));
}

}  // namespace

Batcher::Batcher(int64_t batch_tokens, Clock clock, OnChange on_change)
    : clock_(std::move(clock)),
      on_change_(std::move(on_change)),
      queue_(batch_tokens),
      assembler_([this] { AssembleLoop(); }) {}

void Batcher::Push(std::vector<Row> rows) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    return FailAll(rows);
  }
  for (Row& row : rows) queue_.Push(std::move(row));
  QueueChanged();
  changed_.notify_all();
}

void Batcher::PushBackground(BackgroundWork work) {
  {
    std::lock_guard lock(mutex_);
    if (!closed_) {
      background_.push_back(std::move(work));
      changed_.notify_all();
      return;
    }
  }
  work(kNotRun);
}

std::optional<Work> Batcher::Next(int runner, bool background_is_due) {
  while (true) {
    std::unique_lock lock(mutex_);
    free_runners_.insert(runner);
    const auto background_may_run = [&] { return !background_.empty() && (background_is_due || NoRowsWait()); };
    changed_.wait(lock, [&] {
      const bool is_first = *free_runners_.begin() == runner;
      return closed_ || (is_first && (RowsAreReady() || background_may_run()));
    });
    free_runners_.erase(runner);
    changed_.notify_all();  // another is the first now
    if (closed_) return std::nullopt;
    if (background_may_run()) {
      Work work{.background = std::move(background_.front())};
      background_.pop_front();
      return work;
    }
    if (std::optional<Batch> batch = Take(lock)) return Work{.batch = *std::move(batch)};
  }
}

std::optional<Batch> Batcher::NextIfWaiting(int runner) {
  while (true) {
    std::unique_lock lock(mutex_);
    if (!free_runners_.empty()) return std::nullopt;  // another takes them
    free_runners_.insert(runner);
    changed_.wait(lock, [this] { return RowsAreReady() || closed_ || NoRowsWait(); });
    free_runners_.erase(runner);
    changed_.notify_all();
    if (closed_ || !RowsAreReady()) return std::nullopt;
    if (std::optional<Batch> batch = Take(lock)) return batch;
  }
}

std::optional<Batch> Batcher::Take(std::unique_lock<std::mutex>& lock) {
  std::optional<Batch> batch = std::exchange(ahead_, std::nullopt);
  const absl::Time now = clock_();
  std::vector<Row> rows;
  if (!batch.has_value()) {
    rows = queue_.Take(now);
    QueueChanged();
  }
  changed_.notify_all();
  lock.unlock();
  batch = batch.has_value() ? DropUnwanted(*std::move(batch), now) : Assemble(std::move(rows), now);
  if (batch->rows.empty()) return std::nullopt;
  return batch;
}

void Batcher::QueueChanged() const {
  if (on_change_ != nullptr) on_change_(queue_.rows(), queue_.tokens());
}

void Batcher::AssembleLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(
        lock, [this] { return closed_ || (!ahead_.has_value() && queue_.HasFullBatch() && free_runners_.empty()); });
    if (closed_) break;
    const absl::Time now = clock_();
    std::vector<Row> rows = queue_.Take(now);
    QueueChanged();
    if (!rows.empty()) {  // else all of them had ended
      assembling_ = true;
      lock.unlock();
      Batch batch = Assemble(std::move(rows), now);
      lock.lock();
      assembling_ = false;
      ahead_ = std::move(batch);
    }
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
    QueueChanged();
  } while (!rows.empty());
}

void Batcher::Close() {
  std::deque<BackgroundWork> background;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    background.swap(background_);
    changed_.notify_all();
  }
  for (const BackgroundWork& work : background) work(kNotRun);
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

size_t Batcher::free_runners() const {
  std::lock_guard lock(mutex_);
  return free_runners_.size();
}

}  // namespace midlayer
