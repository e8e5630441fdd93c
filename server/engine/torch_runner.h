// Runs batches on libtorch.
#ifndef MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_
#define MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "server/engine/model_info.h"
#include "server/engine/runner.h"
#include "server/nn/fast_paths.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {

class PoolingHead;
class Transformer;

struct LoadOptions {
  std::string directory;
  std::string device = "auto";  // see OpenDevices()
  // See ParseDtype(); "int8": weights of matrix products in int8, the rest in float32, on a CPU; or "auto": bfloat16
  // where every device multiplies in it and the vectors of built-in texts keep a cosine of 0.9999 to those of float32
  // at every layer, else float32.
  std::string dtype = "float32";
  bool pure_low_precision = false;  // see Transformer::Options
  FastPaths fast_paths;
  int max_layer = -1;                 // -1: all
  int threads = 0;                    // on a CPU, all in all; 0: libtorch's choice, and no more than UsableProcessors()
  std::vector<std::string> adapters;  // directories of LoRA adapters, merged in this order
  std::string pooling_head;           // file of a trained pooling head; empty: none
  DescriptionOverrides overrides;
  // See Transformer::Options.
  std::function<int(const std::string& fingerprint)> enough_layers;
};

// The model on one device. Const, and shared by the runners of that device.
struct Replica {
  std::shared_ptr<const Transformer> transformer;
  std::shared_ptr<const PoolingHead> pooling_head;  // null: none
};

// A model with all that is needed to serve it.
struct LoadedModel {
  ModelInfo info;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<Replica> replicas;   // one a device, at least one
  std::vector<std::string> notes;  // what a person may want to know
};

// Errors name the file or flag, what was expected and what was found.
absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options);

// For a replica on the CPU as many runners as at::get_num_threads(), which share so many threads; for one on a GPU
// `streams`, each with a stream of its own: while one computes a batch, the next is copied and started. `telemetry`
// must outlive the runners.
absl::StatusOr<std::vector<std::unique_ptr<Runner>>> MakeTorchRunners(absl::Span<const Replica> replicas, int streams,
                                                                      Telemetry* telemetry);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_
