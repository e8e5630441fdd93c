// What the service tells and checks about the loaded model. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_MODEL_INFO_H_
#define MIDLAYER_SERVER_ENGINE_MODEL_INFO_H_

#include <optional>
#include <string>
#include <vector>

#include "server/models/description.h"

namespace midlayer {

struct ModelInfo {
  ModelDescription description;
  int max_layer = 0;                       // the deepest that is loaded
  int dense_features = 0;                  // 0: no Dense modules
  std::vector<std::string> fingerprints;   // of layers 0…max_layer
  std::optional<Pooling> trained_pooling;  // what a trained head is there for
  std::string dtype;
  std::string device;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_MODEL_INFO_H_
