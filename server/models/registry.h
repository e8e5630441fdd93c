// The architectures that this build serves: one table, one small file an architecture.
//
// To add one: write models/NAME.cc with the two functions below, name them in registry.cc, add the file to CMake, and
// add its tiny model to tests/golden/generate.py.
#ifndef MIDLAYER_SERVER_MODELS_REGISTRY_H_
#define MIDLAYER_SERVER_MODELS_REGISTRY_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/models/arch_spec.h"
#include "server/models/config_parts.h"
#include "server/models/config_reader.h"
#include "server/models/weight_map.h"

namespace midlayer {

struct Architecture {
  std::string_view model_type;  // as in config.json
  // Reads config.json; problems are left in the reader's status.
  ArchSpec (*parse)(ConfigReader& config);
  // How its checkpoints name their tensors.
  WeightMap (*weight_map)();
};

absl::Span<const Architecture> Architectures();

// The architecture of that model_type, or INVALID_ARGUMENT with the list of those that are supported.
absl::StatusOr<const Architecture*> FindArchitecture(std::string_view model_type);

// One small file each.
ArchSpec ParseBert(ConfigReader& config);
WeightMap BertWeights();
ArchSpec ParseRoberta(ConfigReader& config);
WeightMap RobertaWeights();
ArchSpec ParseRobertaPreLayerNorm(ConfigReader& config);
WeightMap RobertaPreLayerNormWeights();
ArchSpec ParseDistilBert(ConfigReader& config);
WeightMap DistilBertWeights();
ArchSpec ParseMpnet(ConfigReader& config);
WeightMap MpnetWeights();
ArchSpec ParseModernBert(ConfigReader& config);
WeightMap ModernBertWeights();
ArchSpec ParseGpt2(ConfigReader& config);
WeightMap Gpt2Weights();
ArchSpec ParseGptJ(ConfigReader& config);
WeightMap GptJWeights();
ArchSpec ParseGptNeoX(ConfigReader& config);
WeightMap GptNeoXWeights();
ArchSpec ParseLlama(ConfigReader& config);
WeightMap LlamaWeights();
ArchSpec ParseMistral(ConfigReader& config);
ArchSpec ParseQwen2(ConfigReader& config);
ArchSpec ParseQwen3(ConfigReader& config);
WeightMap Qwen3Weights();
ArchSpec ParseGemma3(ConfigReader& config);
WeightMap Gemma3Weights();
ArchSpec ParseMamba(ConfigReader& config);
WeightMap MambaWeights();

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_REGISTRY_H_
