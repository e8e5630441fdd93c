#include "server/models/registry.h"

#include <utility>
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
    {"mpnet", ParseMpnet, MpnetWeights},
    {"roberta", ParseRoberta, RobertaWeights},
    {"roberta-prelayernorm", ParseRobertaPreLayerNorm, RobertaPreLayerNormWeights},
    {"xlm-roberta", ParseRoberta, RobertaWeights},
};

constexpr std::pair<std::string_view, Activation> kActivations[] = {
    {"gelu", Activation::kGelu}, {"gelu_new", Activation::kGeluTanh}, {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu}, {"silu", Activation::kSilu},         {"swish", Activation::kSilu},
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

Activation ParseActivation(ConfigReader& config, const char* key) {
  const std::string name = config.StringOr(key, "gelu");
  std::vector<std::string> known;
  for (const auto& [known_name, activation] : kActivations) {
    if (known_name == name) return activation;
    known.emplace_back(known_name);
  }
  config.Fail(key, absl::StrCat("one of ", absl::StrJoin(known, ", ")), name);
  return Activation::kGelu;
}

void RefuseDecoder(ConfigReader& config) {
  if (config.BoolOr("is_decoder", false)) config.Fail("is_decoder", "false (encoders only)", "true");
}

}  // namespace midlayer
