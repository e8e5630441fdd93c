// A model that requests of the fuzz targets are checked against.
#ifndef MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_
#define MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_

#include "absl/strings/str_cat.h"
#include "server/engine/model_info.h"

namespace midlayer::fuzz {

// 6 layers of width 8. Bits of `kind`: 4 layers are loaded; Dense modules and prompts; a trained head; which is the
// default.
inline ModelInfo MakeModel(unsigned kind) {
  ModelInfo model;
  model.description.name = "tiny";
  model.description.arch.model_type = "bert";
  model.description.arch.layers = 6;
  model.description.arch.hidden = 8;
  model.description.max_tokens = 64;
  model.max_layer = (kind & 1) != 0 ? 4 : 6;
  if ((kind & 2) != 0) {
    model.dense_features = 16;
    model.description.prompts = {{"passage", "passage: "}, {"query", "query: "}};
    model.description.default_prompt_name = "query";
  }
  if ((kind & 4) != 0) model.trained_pooling = Pooling::kTrainedMulti;
  if ((kind & 12) == 12) model.description.default_pooling = Pooling::kTrainedMulti;
  for (int layer = 0; layer <= model.max_layer; ++layer) model.fingerprints.push_back(absl::StrCat("f", layer));
  return model;
}

}  // namespace midlayer::fuzz

#endif  // MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_
