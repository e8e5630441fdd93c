// From rows that arrive at any time to batches for one runner.
#ifndef MIDLAYER_SERVER_ENGINE_BATCHER_H_
#define MIDLAYER_SERVER_ENGINE_BATCHER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "server/engine/batch.h"
#include "server/engine/batch_queue.h"

namespace midlayer {

// While the runner works, one batch is assembled ahead: as soon as enough waits to fill it. If less waits, the choice
// is left until the runner is free, so that rows that arrive meanwhile come along and batches do not fall apart into
// small ones. There is no timer: an idle runner gets whatever comes at once. Thread-safe.
class Batcher {
 public:
  using Clock = std::function<absl::Time()>;
  // Told how much waits, whenever that changes. Must not block or call back.
  using OnChange = std::function<void(int64_t rows, int64_t tokens)>;

  explicit Batcher(int64_t batch_tokens, Clock clock = absl::Now, OnChange on_change = nullptr);
  // Close() must have been called, and no thread be in Next().
  ~Batcher() = default;

  void Push(std::vector<Row> rows);

  // Waits for the next batch. Nothing once the batcher is closed. Rows of requests that ended while the batch lay ready
  // are not in it.
  std::optional<Batch> Next();

  // Ends what waits, and what is pushed later, with UNAVAILABLE. Returns when what waits has ended. For one thread.
  void Close();

  int64_t waiting_rows() const;
  int64_t waiting_tokens() const;

 private:
  void AssembleLoop();
  // mutex_ is held.
  void QueueChanged() const;

  const Clock clock_;
  const OnChange on_change_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  BatchQueue queue_;
  std::optional<Batch> ahead_;   // the one slot
  bool runner_is_free_ = false;  // a thread is in Next()
  bool closed_ = false;

  std::thread assembler_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_BATCHER_H_
