// What computes a batch: the engine's contract with a device.
#ifndef MIDLAYER_SERVER_ENGINE_RUNNER_H_
#define MIDLAYER_SERVER_ENGINE_RUNNER_H_

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/batch.h"

namespace midlayer {

class Runner {
 public:
  virtual ~Runner() = default;

  // Called once before everything else, from the same thread: what no request should wait for.
  virtual void WarmUp() {}

  // Whether runners like this one compute on the same processors: what another does slows it down.
  virtual bool SharesProcessors() const { return false; }

  // For each row of `batch`, its pooled vectors, one for each of row.request->slots. Called from one thread.
  using Vectors = std::vector<std::vector<std::vector<float>>>;
  virtual absl::StatusOr<Vectors> Run(const Batch& batch) = 0;

  // Takes the states of a layer: (P', D) float32, row-major, of the tokens of the first batch.RowsAt(layer) rows; they
  // may be read during the call only. False ends the pass.
  using StatesTap = absl::FunctionRef<bool(int layer, absl::Span<const float> states_PD)>;
  // Runs `batch` and shows the states of every layer, in order, on the host. Called from the same thread as Run(),
  // which `tap` may call.
  virtual absl::Status RunStates(const PackedTokens& batch, State state, StatesTap tap) = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_RUNNER_H_
