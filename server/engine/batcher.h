// From rows that arrive at any time to batches for one runner.
#ifndef MIDLAYER_SERVER_ENGINE_BATCHER_H_
#define MIDLAYER_SERVER_ENGINE_BATCHER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "server/engine/batch.h"
#include "server/engine/batch_queue.h"

namespace midlayer {

// Called with the number of the runner that is to run it, or kNotRun where it is not to run any more.
using BackgroundWork = std::function<void(int runner)>;
inline constexpr int kNotRun = -1;

// Work for a runner: a batch, or (without rows) background work.
struct Work {
  Batch batch;
  BackgroundWork background;
};

// For any number of runners, each with a thread. While all of them work, one batch is assembled ahead: as soon as
// enough waits to fill it. If less waits, the choice is left until a runner is free and makes it itself, so that rows
// that arrive meanwhile come along and batches do not fall apart into small ones. There is no timer: an idle runner
// gets whatever comes at once. Thread-safe.
class Batcher {
 public:
  using Clock = std::function<absl::Time()>;
  // Told how much waits, whenever that changes. Must not block or call back.
  using OnChange = std::function<void(int64_t rows, int64_t tokens)>;

  explicit Batcher(int64_t batch_tokens, Clock clock = absl::Now, OnChange on_change = nullptr);
  // Close() must have been called, and no thread be in Next().
  ~Batcher() = default;

  void Push(std::vector<Row> rows);

  // Work that a runner gets where no rows wait, or before them where its share is due. In order of arrival.
  void PushBackground(BackgroundWork work);

  // Waits for the next work; of several runners that wait, the one with the lowest number gets it. Nothing once the
  // batcher is closed. Rows of requests that ended while the batch lay ready are not in it. `background_is_due`:
  // background work, where there is any, goes before rows.
  std::optional<Work> Next(int runner, bool background_is_due = false);
  // For a runner in the midst of background work: the next batch if rows wait for it, else nothing, at once.
  std::optional<Batch> NextIfWaiting(int runner);

  // Ends what waits, and what is pushed later, with UNAVAILABLE (background work by calling it with kNotRun). Returns
  // when what waits has ended. For one thread.
  void Close();

  int64_t waiting_rows() const;
  int64_t waiting_tokens() const;
  // How many runners wait for work.
  size_t free_runners() const;

 private:
  void AssembleLoop();
  // The batch that lies ready, or one of what waits, without unwanted rows; nothing where none is left. Unlocks `lock`,
  // which holds mutex_.
  std::optional<Batch> Take(std::unique_lock<std::mutex>& lock);
  // mutex_ is held for the rest.
  void QueueChanged() const;
  bool RowsAreReady() const { return ahead_.has_value() || (queue_.rows() > 0 && !assembling_); }
  bool NoRowsWait() const { return !ahead_.has_value() && queue_.rows() == 0 && !assembling_; }

  const Clock clock_;
  const OnChange on_change_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  BatchQueue queue_;
  std::optional<Batch> ahead_;  // the one slot
  bool assembling_ = false;     // the assembler has rows in its hands
  std::deque<BackgroundWork> background_;
  std::set<int> free_runners_;  // in Next() or NextIfWaiting()
  bool closed_ = false;

  std::thread assembler_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_BATCHER_H_
