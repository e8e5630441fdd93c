// What computes a batch: the engine's contract with a device.
#ifndef MIDLAYER_SERVER_ENGINE_RUNNER_H_
#define MIDLAYER_SERVER_ENGINE_RUNNER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/batch.h"

namespace midlayer {

class Runner {
 public:
  virtual ~Runner() = default;

  // For each row of `batch`, its pooled vectors, one for each of row.request->slots. Called from one thread.
  virtual absl::StatusOr<std::vector<std::vector<std::vector<float>>>> Run(const Batch& batch) = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_RUNNER_H_
