// What scores the layers: the service's contract with the engine. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_SCORER_H_
#define MIDLAYER_SERVER_ENGINE_SCORER_H_

#include <functional>

#include "absl/status/statusor.h"
#include "server/base/cancelled.h"
#include "server/engine/dataset.h"
#include "server/engine/score_task.h"

namespace midlayer {

// Thread-safe.
class Scorer {
 public:
  // Both are called often while Run() is under way: `progress` on one thread at a time, `cancelled` on several at once.
  struct Watch {
    std::function<void(const ScoreProgress&)> progress;
    Cancelled cancelled;
  };

  virtual ~Scorer() = default;

  // Measures every layer that is loaded, and chooses one. Blocks. Errors: INVALID_ARGUMENT and FAILED_PRECONDITION
  // (what is asked for cannot be measured on these examples), RESOURCE_EXHAUSTED (it would take too much memory; says
  // what would), CANCELLED soon after Watch::cancelled (before the next layer of a pass, and the next metric),
  // UNAVAILABLE while the engine closes, INTERNAL.
  virtual absl::StatusOr<ScoreResult> Run(const ScoreTask& task, const Dataset& dataset, const Watch& watch) = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SCORER_H_
