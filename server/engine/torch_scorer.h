// Scores layers by passes of the engine's model.
#ifndef MIDLAYER_SERVER_ENGINE_TORCH_SCORER_H_
#define MIDLAYER_SERVER_ENGINE_TORCH_SCORER_H_

#include <memory>

#include "server/engine/engine.h"
#include "server/engine/model_info.h"
#include "server/engine/scorer.h"
#include "server/tokenizer/tokenizer.h"

namespace midlayer {

struct TorchScorerOptions {
  uint64_t max_bytes = uint64_t{2} << 30;  // that one run may hold
};

// What the arguments point to must outlive the scorer. Metrics are computed beside the passes, on threads of the lowest
// priority: whoever embeds goes before them.
std::unique_ptr<Scorer> MakeTorchScorer(Engine* engine, const ModelInfo* model, const Tokenizer* tokenizer,
                                        const TorchScorerOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_TORCH_SCORER_H_
