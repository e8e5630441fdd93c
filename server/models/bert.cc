// BERT (Devlin et al., 2018): post-norm encoder, learned positions, token types.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseBert(ConfigReader& config) {
  RefuseDecoder(config);
  const std::string positions = config.StringOr("position_embedding_type", "absolute");
  if (positions != "absolute") config.Fail("position_embedding_type", "absolute", positions);
  ArchSpec spec;
  ReadSizes(config, spec);
  spec.positions = config.IntOr("max_position_embeddings", 512, 1);
  spec.token_types = config.IntOr("type_vocab_size", 2, 1);
  spec.norm_epsilon = ReadEpsilon(config, "layer_norm_eps", 1e-12);
  spec.activation = ParseActivation(config, "hidden_act");
  spec.padding_id = config.IntOr("pad_token_id", 0);
  spec.embedding_norm = true;
  FillAttention(spec, -1);
  return spec;
}

WeightMap BertWeights() {
  return {.prefixes = {"bert."},
          .rules = {{"embeddings.word_embeddings", Slot::kWordEmbedding},
                    {"embeddings.position_embeddings", Slot::kPositionEmbedding},
                    {"embeddings.token_type_embeddings", Slot::kTokenTypeEmbedding},
                    {"embeddings.LayerNorm", Slot::kEmbeddingNorm},
                    {"encoder.layer.{}.attention.self.query", Slot::kQuery},
                    {"encoder.layer.{}.attention.self.key", Slot::kKey},
                    {"encoder.layer.{}.attention.self.value", Slot::kValue},
                    {"encoder.layer.{}.attention.output.dense", Slot::kAttentionOut},
                    {"encoder.layer.{}.attention.output.LayerNorm", Slot::kAttentionNorm},
                    {"encoder.layer.{}.intermediate.dense", Slot::kMlpUp},
                    {"encoder.layer.{}.output.dense", Slot::kMlpDown},
                    {"encoder.layer.{}.output.LayerNorm", Slot::kMlpNorm}},
          // Buffers, and heads above the hidden states.
          .ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.", "cls.", "classifier.",
                      "qa_outputs."}};
}

}  // namespace midlayer
