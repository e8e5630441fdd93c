// What ScoreLayers and Selections take. What they give are messages of midlayer/v1.
#ifndef MIDLAYER_SCORING_H_
#define MIDLAYER_SCORING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "midlayer/v1/scoring.pb.h"
#include "midlayer/words.h"

namespace midlayer {

// One text of a data set, with what is known of it.
struct Example {
  // The text: of a class, of a pair, a query, or just a text.
  std::string text = {};
  // Its class.
  std::optional<std::string> label = {};
  // A second text. With `score`: how alike the two are. Without: the passage that the text should find.
  std::optional<std::string> paired_text = {};
  // How alike the two texts are, on any scale; finite.
  std::optional<double> score = {};
  // Its name among the passages, with `passage` only.
  std::string id = {};
  // Names of the passages that it should find.
  std::vector<std::string> relevant_ids = {};
  // It is a passage to be found, no query.
  bool passage = false;
};

// Options of ScoreLayers.
struct ScoreOptions {
  // Metrics by name, or by group: unlabelled, views, self_retrieval, masked_self_retrieval, labelled, paired, all.
  // None: all that the examples allow, but views (16 passes a text) and masked_self_retrieval.
  std::vector<std::string> metrics = {};
  // Poolings to measure with. None: the model's own.
  std::vector<Pooling> poolings = {};
  // "auto" (the strongest evidence that there is), a metric with its direction ("prompt_entropy:min"), or a weighted
  // rank of several ("silhouette_cosine:max=2,curvature:min=1").
  std::string criterion = "auto";
  // Use at most so many examples, drawn at random. 0: 1,000.
  uint32_t sample_size = 0;
  // Seed of everything random.
  uint64_t seed = 0;
  // Keep the result as a selection.
  bool store = true;
  // A data set in the server's data directory, in place of examples.
  std::string dataset_name = {};
  MetricMode mode = MetricMode::kDefinition;
  // Order of the Renyi entropies, above 0; 0: 1.
  double alpha = 0;
  EntropyNormalization normalization = EntropyNormalization::kMaxEntropy;
  // Which form of the layers is measured. Default: State::kRaw.
  State state = State::kDefault;
  // Leave special tokens out of metrics of tokens.
  bool without_special_tokens = false;
  // Leave so many leading tokens out of metrics of tokens.
  uint32_t skip_leading_tokens = 0;
  // Augmented views of every text for LiDAR, 2 or more; 0: 16.
  uint32_t views = 0;
  // Permutations for DiME; 0: 32.
  uint32_t permutations = 0;
  // Score again although a report of the same model, data set and options is stored.
  bool refresh = false;
  // End as soon as the choice is settled.
  bool stop_early = false;
  // Make the selection the default of Embed at once.
  bool promote = false;
  // Promote on any evidence.
  bool force = false;
  // With `promote`: only where the selection of this id is promoted now; "none": where none is. Default: any.
  std::optional<std::string> expected_current = {};
  // Report the values of single examples too.
  bool example_values = false;
};

// The first curve of a metric in a report, of any pooling where kDefault. Null where there is none; else it lives as
// long as `report`.
const v1::MetricCurve* FindCurve(const v1::ScoreReport& report, const std::string& metric,
                                 Pooling pooling = Pooling::kDefault);

// Options of Selections::Promote.
struct PromoteOptions {
  // Only where the selection of this id is promoted now; "none": where none is. Default: any.
  std::optional<std::string> expected_current = {};
  // Promote on any evidence.
  bool force = false;
};

}  // namespace midlayer

#endif  // MIDLAYER_SCORING_H_
