// MPNet (Song et al., 2020): BERT without token types, positions as RoBERTa's, and a relative position bias (T5's
// buckets) that all blocks share.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseMpnet(ConfigReader& config) {
  ArchSpec spec = ParseRoberta(config);
  spec.token_types = 0;
  spec.relative_buckets = config.IntOr("relative_attention_num_buckets", 32, 4);
  return spec;
}

WeightMap MpnetWeights() {
  return {.prefixes = {"mpnet."},
          .rules = {{"embeddings.word_embeddings", Slot::kWordEmbedding},
                    {"embeddings.position_embeddings", Slot::kPositionEmbedding},
                    {"embeddings.LayerNorm", Slot::kEmbeddingNorm},
                    {"encoder.relative_attention_bias", Slot::kRelativeBias},
                    {"encoder.layer.{}.attention.attn.q", Slot::kQuery},
                    {"encoder.layer.{}.attention.attn.k", Slot::kKey},
                    {"encoder.layer.{}.attention.attn.v", Slot::kValue},
                    {"encoder.layer.{}.attention.attn.o", Slot::kAttentionOut},
                    {"encoder.layer.{}.attention.LayerNorm", Slot::kAttentionNorm},
                    {"encoder.layer.{}.intermediate.dense", Slot::kMlpUp},
                    {"encoder.layer.{}.output.dense", Slot::kMlpDown},
                    {"encoder.layer.{}.output.LayerNorm", Slot::kMlpNorm}},
          .ignored = {"embeddings.position_ids", "pooler.", "lm_head.", "classifier.", "qa_outputs."}};
}

}  // namespace midlayer
