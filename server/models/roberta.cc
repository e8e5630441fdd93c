// RoBERTa (Liu et al., 2019), XLM-RoBERTa and CamemBERT: BERT with positions counted after the padding token; and
// RoBERTa-PreLayerNorm, the same with norms before the sub-blocks and one after the last block.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseRoberta(ConfigReader& config) {
  ArchSpec spec = ParseBert(config);
  spec.padding_id = config.IntOr("pad_token_id", 1);
  spec.position_rule = PositionRule::kAfterPadding;
  if (spec.max_tokens() < 1) {
    config.Fail("max_position_embeddings", "more than pad_token_id + 1", std::to_string(spec.positions));
  }
  return spec;
}

WeightMap RobertaWeights() {
  WeightMap map = BertWeights();
  map.prefixes = {"roberta."};
  map.ignored.push_back("lm_head.");
  return map;
}

ArchSpec ParseRobertaPreLayerNorm(ConfigReader& config) {
  ArchSpec spec = ParseRoberta(config);
  spec.block_form = BlockForm::kPreNorm;
  spec.final_norm = true;
  return spec;
}

WeightMap RobertaPreLayerNormWeights() {
  WeightMap map = RobertaWeights();
  map.prefixes = {"roberta_prelayernorm."};
  for (WeightRule& rule : map.rules) {
    if (rule.slot == Slot::kAttentionNorm) rule.module = "encoder.layer.{}.attention.LayerNorm";
    if (rule.slot == Slot::kMlpNorm) rule.module = "encoder.layer.{}.intermediate.LayerNorm";
  }
  map.rules.push_back({"LayerNorm", Slot::kFinalNorm});
  return map;
}

}  // namespace midlayer
