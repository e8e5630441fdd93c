#include "server/models/registry.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

constexpr Architecture kArchitectures[] = {
    {"bert", ParseBert, BertWeights},
    {"camembert", ParseRoberta, RobertaWeights},
    {"distilbert", ParseDistilBert, DistilBertWeights},
    {"gemma3_text", ParseGemma3, Gemma3Weights},
    {"gpt2", ParseGpt2, Gpt2Weights},
    {"gpt_neox", ParseGptNeoX, GptNeoXWeights},
    {"gptj", ParseGptJ, GptJWeights},
    {"llama", ParseLlama, LlamaWeights},
    {"mamba", ParseMamba, MambaWeights},
    {"mistral", ParseMistral, LlamaWeights},
    {"modernbert", ParseModernBert, ModernBertWeights},
    {"mpnet", ParseMpnet, MpnetWeights},
    {"qwen2", ParseQwen2, LlamaWeights},
    {"qwen3", ParseQwen3, Qwen3Weights},
    {"roberta", ParseRoberta, RobertaWeights},
    {"roberta-prelayernorm", ParseRobertaPreLayerNorm, RobertaPreLayerNormWeights},
    {"xlm-roberta", ParseRoberta, RobertaWeights},
};

}  // namespace

absl::Span<const Architecture> Architectures() { return kArchitectures; }

absl::StatusOr<const Architecture*> FindArchitecture(std::string_view model_type) {
  std::vector<std::string> known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.model_type == model_type) return &architecture;
    known.emplace_back(architecture.model_type);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("model_type: expected one of ", absl::StrJoin(known, ", "), ", found ", ToAbsl(model_type)));
}

}  // namespace midlayer
