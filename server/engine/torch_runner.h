// Runs batches on libtorch.
#ifndef MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_
#define MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_

#include <memory>
#include <string>
#include <vector>

#include "server/engine/model_info.h"
#include "server/engine/runner.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {

class Transformer;

struct LoadOptions {
  std::string directory;
  std::string device = "auto";        // see OpenDevice()
  std::string dtype = "float32";      // see ParseDtype()
  int max_layer = -1;                 // -1: all
  int threads = 0;                    // of libtorch; 0: one a processor
  std::vector<std::string> adapters;  // directories of LoRA adapters, merged in this order
  DescriptionOverrides overrides;
};

// A model with all that is needed to serve it.
struct LoadedModel {
  ModelInfo info;
  std::unique_ptr<Tokenizer> tokenizer;
  std::shared_ptr<const Transformer> transformer;
  std::vector<std::string> notes;  // what a person may want to know
};

// Errors name the file or flag, what was expected and what was found.
absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options);

// `telemetry` must outlive the runner.
std::unique_ptr<Runner> MakeTorchRunner(std::shared_ptr<const Transformer> transformer, Telemetry* telemetry);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_TORCH_RUNNER_H_
