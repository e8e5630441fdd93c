// DistilBERT (Sanh et al., 2019): BERT with half the blocks and no token types; its config has names of its own.
#include "server/models/registry.h"

namespace midlayer {

ArchSpec ParseDistilBert(ConfigReader& config) {
  ArchSpec spec;
  spec.layers = ReadLayers(config, "n_layers");
  spec.hidden = config.Int("dim");
  ReadHeads(config, spec, "n_heads");
  spec.intermediate = config.Int("hidden_dim");
  spec.vocabulary = config.Int("vocab_size");
  spec.positions = config.IntOr("max_position_embeddings", 512, 1);
  spec.norm_epsilon = 1e-12;  // fixed in the architecture
  spec.activation = ParseActivation(config, "activation");
  spec.padding_id = config.IntOr("pad_token_id", 0);
  spec.embedding_norm = true;
  FillAttention(spec, -1);
  return spec;
}

WeightMap DistilBertWeights() {
  return {.prefixes = {"distilbert."},
          .rules = {{"embeddings.word_embeddings", Slot::kWordEmbedding},
                    {"embeddings.position_embeddings", Slot::kPositionEmbedding},
                    {"embeddings.LayerNorm", Slot::kEmbeddingNorm},
                    {"transformer.layer.{}.attention.q_lin", Slot::kQuery},
                    {"transformer.layer.{}.attention.k_lin", Slot::kKey},
                    {"transformer.layer.{}.attention.v_lin", Slot::kValue},
                    {"transformer.layer.{}.attention.out_lin", Slot::kAttentionOut},
                    {"transformer.layer.{}.sa_layer_norm", Slot::kAttentionNorm},
                    {"transformer.layer.{}.ffn.lin1", Slot::kMlpUp},
                    {"transformer.layer.{}.ffn.lin2", Slot::kMlpDown},
                    {"transformer.layer.{}.output_layer_norm", Slot::kMlpNorm}},
          .ignored = {"embeddings.position_ids", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.",
                      "pre_classifier.", "classifier.", "qa_outputs."}};
}

}  // namespace midlayer
