// The engine: texts in, vectors out. Knows no transport and no torch.
#ifndef MIDLAYER_SERVER_ENGINE_ENGINE_H_
#define MIDLAYER_SERVER_ENGINE_ENGINE_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "server/engine/admission.h"
#include "server/engine/background_share.h"
#include "server/engine/batcher.h"
#include "server/engine/request.h"
#include "server/engine/runner.h"
#include "server/engine/vector_cache.h"
#include "server/engine/worker_pool.h"
#include "server/telemetry/telemetry.h"
#include "server/tokenizer/tokenizer.h"

namespace midlayer {

// Life of a request: admission (bounded) -> tokenizer pool -> queue -> a batch with whatever else waits -> a runner
// -> delivery. One thread drives each runner; one assembles the next batch meanwhile. Thread-safe.
class Engine {
 public:
  struct Options {
    int64_t batch_tokens = 512;
    int tokenizer_threads = 1;
    Admission::Size max_waiting = {.texts = 4096, .bytes = 64 << 20};
    bool include_prompt = true;  // whether the prompt's tokens are pooled too
    int64_t cache_entries = 0;   // pooled vectors kept for texts that come again; 0: none
    Batcher::Clock clock = absl::Now;
  };

  // `tokenizer` and `telemetry` must outlive the engine. runners: at least one; all of the same model.
  Engine(const Options& options, const Tokenizer* tokenizer, std::vector<std::unique_ptr<Runner>> runners,
         Telemetry* telemetry);
  // Ends what has not ended with UNAVAILABLE. Nobody may call Embed() any more.
  ~Engine();

  // What to do where too much waits already: refuse at once, or start when there is room (for streams, whose senders
  // are slowed down).
  enum class WhenFull { kRefuse, kWait };

  // `done` is called exactly once, perhaps before this returns, on any thread; it must not block. Errors:
  // INVALID_ARGUMENT (names the text), RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE, INTERNAL.
  std::shared_ptr<Request> Embed(EmbedTask task, WhenFull when_full, Request::Done done);

  // Shows `tap` the states of every layer for `batch` (see Runner::RunStates), behind whatever Embed asks for: runs
  // where no text waits, steps aside between two layers, and gets a tenth of a runner's time at least. Blocks; `tap`
  // is called on that runner's thread. Returns how long the pass itself took, without what it stepped aside for.
  // Errors: UNAVAILABLE where the engine closes first, INTERNAL.
  absl::StatusOr<absl::Duration> RunStates(const PackedTokens& batch, State state, Runner::StatesTap tap);
  // When the last batch was computed; the start before there was one.
  absl::Time LastBatch() const { return absl::FromUnixMicros(last_batch_micros_); }

  // The same tokens for the same text as Embed(), with what is not to be pooled; `truncated` where tokens were cut from
  // the end. INVALID_ARGUMENT where the text cannot be encoded.
  struct Encoded {
    std::vector<int32_t> ids;
    int pool_begin = 0;
    bool truncated = false;
  };
  absl::StatusOr<Encoded> Encode(const std::string& prompt, const std::string& text) const;

 private:
  struct Tokenizing;  // the rows of a request while they come into being
  // A runner with its thread, which alone uses it.
  struct Lane {
    std::unique_ptr<Runner> runner;
    BackgroundShare share;
    std::thread thread;
  };

  void StartTokenizing(const std::shared_ptr<Request>& request);
  // Tokenizes the texts first … end - 1, but for those with vectors in the cache; whoever is last pushes all rows into
  // the queue.
  void Tokenize(const std::shared_ptr<Tokenizing>& work, size_t first, size_t end);
  absl::StatusOr<Row> TokenizeText(const std::shared_ptr<Request>& request, size_t text, int prompt_tokens);
  void RunLoop(int number);
  // Runs what waits for a batch, until nothing does or background work is due again. Where runners share processors, it
  // waits for the batches of others too.
  void StepAside(int runner);
  // Until one that is under way ends. False where none is.
  bool WaitForABatch(Lane& lane);
  void RunBatch(Lane& lane, Batch batch);
  // Runs `batch`; where that fails, its halves: one bad row fails no other, and what is too much for the device's
  // memory at once may fit in parts.
  void RunAndDeliver(Runner& runner, Batch batch);
  // A batch beside those of other runners; where a text alone finds no memory beside them, once more without them.
  absl::StatusOr<Runner::Vectors> RunBesideOthers(Runner& runner, const Batch& batch);

  // Constant after construction, or synchronise themselves.
  const Options options_;
  const Tokenizer* const tokenizer_;
  Telemetry* const telemetry_;
  std::optional<VectorCache> cache_;
  Admission admission_;
  Batcher batcher_;
  WorkerPool pool_;
  std::atomic<int64_t> last_batch_micros_;
  std::shared_mutex beside_others_;  // shared while a batch runs, held alone by one that needs all the memory
  std::mutex under_way_mutex_;
  std::condition_variable batch_ended_;
  // Guarded by under_way_mutex_: batches.
  int under_way_ = 0;
  int64_t batches_ended_ = 0;

  std::vector<Lane> lanes_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_ENGINE_H_
