// One request on its way through the engine.
#ifndef MIDLAYER_SERVER_ENGINE_REQUEST_H_
#define MIDLAYER_SERVER_ENGINE_REQUEST_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/engine/output.h"
#include "server/tokenizer/tokenizer.h"

namespace midlayer {

// In the order in which they are served.
enum class Priority { kInteractive, kBulk };
inline constexpr int kPriorities = 2;

// What is asked for.
struct EmbedTask {
  std::vector<std::string> texts;  // UTF-8, at least one
  std::string prompt;              // put before every text
  Truncation truncation = Truncation::kNone;
  std::vector<OutputSpec> outputs;  // at least one
  Priority priority = Priority::kInteractive;
  absl::Time deadline = absl::InfiniteFuture();
  bool may_be_cached = true;  // false: the model computes it in any case
};

struct TextResult {
  std::vector<std::vector<float>> vectors;  // one an output
  int tokens = 0;
  bool truncated = false;
};

// Each figure is that of the slowest text.
struct RequestTiming {
  absl::Duration tokenize;
  absl::Duration queue;
  absl::Duration forward;
};

struct EmbedResult {
  std::vector<TextResult> texts;
  RequestTiming timing;
};

// Shared by whoever still has to do with the request: the caller (to cancel), the tokenizer pool, its rows in the
// queue. Ends exactly once: with a result when the last text is delivered, or with the first error. What comes later is
// dropped, and rows of an ended request are skipped. Thread-safe.
class Request {
 public:
  using Done = std::function<void(absl::StatusOr<EmbedResult>)>;

  // `done` is called once, on the thread that ends the request; it must not block.
  Request(EmbedTask task, absl::Time start, Done done);

  // Constant after construction.
  const EmbedTask task;
  const std::vector<PoolSlot> slots;
  const int last_layer;
  const absl::Time start;

  // Whether nobody waits for it any more.
  bool Ended() const;
  // Ends it with `status`, unless it has ended.
  void Fail(absl::Status status);
  void Cancel() { Fail(absl::CancelledError("cancelled by the caller")); }

  // What became of a text in the tokenizer.
  void SetTokens(size_t text, int tokens, bool truncated);
  // So many texts more are tokenized; true when these were the last.
  bool Tokenized(size_t texts, absl::Time now);
  // Keeps `permit` until the request ends; drops it at once where it has ended.
  void Hold(std::shared_ptr<void> permit);

  // One text is computed: `pooled` as in `slots`. Ends the request when it was the last.
  void Deliver(size_t text, std::vector<std::vector<float>> pooled, absl::Duration queue, absl::Duration forward);

 private:
  void End(absl::StatusOr<EmbedResult> result);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Done done_;  // empty once called
  std::shared_ptr<void> permit_;
  EmbedResult result_;
  size_t to_tokenize_;
  size_t to_deliver_;
};

// One text of a request, tokenized.
struct Row {
  std::shared_ptr<Request> request;
  size_t text = 0;  // its place in the request
  std::vector<int32_t> ids;
  int pool_begin = 0;  // the first token that is pooled
  absl::Time queued;
  bool truncated = false;
  std::string cache_key;  // of VectorCache; empty: not to be kept

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_REQUEST_H_
