// A model that requests of the fuzz targets are checked against.
#ifndef MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_
#define MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_

#include "tests/service/tiny_model.h"

namespace midlayer::fuzz {

// TinyModel. Bits of `kind`: 4 layers are loaded; Dense modules and prompts; a trained head; which is the default.
inline ModelInfo MakeModel(unsigned kind) {
  ModelInfo model = TinyModel((kind & 1) != 0 ? 4 : 6);
  if ((kind & 2) != 0) {
    AddDenseAndPrompts(model);
    model.description.default_prompt_name = "query";
  }
  if ((kind & 4) != 0) model.trained_pooling = Pooling::kTrainedMulti;
  if ((kind & 12) == 12) model.description.default_pooling = Pooling::kTrainedMulti;
  return model;
}

}  // namespace midlayer::fuzz

#endif  // MIDLAYER_TESTS_FUZZ_MODEL_INFO_H_
