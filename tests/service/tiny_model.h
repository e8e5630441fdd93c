// A model that requests are checked against, without its weights.
#ifndef MIDLAYER_TESTS_SERVICE_TINY_MODEL_H_
#define MIDLAYER_TESTS_SERVICE_TINY_MODEL_H_

#include "absl/strings/str_cat.h"
#include "server/engine/model_info.h"

namespace midlayer {

// `max_layer` of 6 layers of width 32 are loaded; texts of up to 64 tokens.
inline ModelInfo TinyModel(int max_layer = 6) {
  ModelInfo model;
  model.description.name = "tiny";
  model.description.arch.model_type = "bert";
  model.description.arch.layers = 6;
  model.description.arch.hidden = 32;
  model.description.max_tokens = 64;
  model.max_layer = max_layer;
  for (int layer = 0; layer <= max_layer; ++layer) model.fingerprints.push_back(absl::StrCat("f", layer));
  return model;
}

// Adds Dense modules to width 16, and prompts.
inline void AddDenseAndPrompts(ModelInfo& model) {
  model.dense_features = 16;
  model.description.prompts = {{"passage", "passage: "}, {"query", "query: "}};
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SERVICE_TINY_MODEL_H_
