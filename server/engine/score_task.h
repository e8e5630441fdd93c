// What is asked of a scoring run, and what comes of it. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_SCORE_TASK_H_
#define MIDLAYER_SERVER_ENGINE_SCORE_TASK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/engine/output.h"
#include "server/models/description.h"
#include "server/scoring/mode.h"
#include "server/selection/choose.h"
#include "server/selection/criterion.h"
#include "server/selection/curve.h"

namespace midlayer {

// One text, with what is known of it; see proto/midlayer/v1/scoring.proto.
struct Example {
  std::string text;
  std::string label;        // empty: none
  std::string paired_text;  // empty: none
  std::optional<double> score;
  std::string id;
  std::vector<std::string> relevant_ids;
  bool passage = false;
};

struct ScoreTask {
  std::vector<std::string> metrics;  // names and groups; empty: all that the examples allow but views
  std::vector<Pooling> poolings = {Pooling::kMean};
  Criterion criterion;
  int64_t sample_size = 1000;
  uint64_t seed = 0;
  EntropyOptions entropy;
  State state = State::kRaw;
  bool without_special_tokens = false;
  int skip_leading_tokens = 0;
  int views = 16;
  int permutations = 32;
  bool stop_early = false;
  bool example_values = false;
  std::string prompt;  // put before every text, as Embed does

  // SHA-256 of all that changes a result.
  std::string Digest() const;
};

// Texts that were left out of some metric.
struct Skipped {
  uint64_t count = 0;
  std::vector<uint64_t> indices;  // places of the first ones in the input, at most kShown
  static constexpr size_t kShown = 20;
};

struct ScoreCost {
  double total_seconds = 0;
  double forward_seconds = 0;
  double accumulate_seconds = 0;  // beside the forward; processor time
  double finish_seconds = 0;
  uint64_t texts = 0;
  uint64_t tokens = 0;
  uint64_t peak_bytes = 0;  // of the run's own buffers
};

struct ScoreProgress {
  const char* stage = "";  // "forward": tokens, "metrics": layers
  uint64_t done = 0;
  uint64_t total = 0;
  double remaining_seconds = 0;  // 0: unknown
};

// How the curve of an unlabelled metric goes with that of a task, over the layers.
struct CurveCorrelation {
  const Metric* metric = nullptr;
  const Metric* task = nullptr;
  std::string pooling;  // of the task's metric
  double spearman = 0;
  double spearman_p = 0;
  double kendall = 0;
  double distance_correlation = 0;
};

struct ScoreResult {
  std::vector<Curve> curves;  // judged
  std::vector<CurveCorrelation> correlations;
  Choice choice;
  std::map<std::string, Skipped> skipped;  // by reason
  ScoreCost cost;
  uint64_t examples = 0;  // measured, passages included; fewer than drawn where the run stopped early
  std::vector<std::string> notes;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SCORE_TASK_H_
