// Which texts go through the model for a scoring run, and which of their vectors make which metric. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_SCORE_PLAN_H_
#define MIDLAYER_SERVER_ENGINE_SCORE_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/dataset.h"
#include "server/engine/score_task.h"

namespace midlayer {

// One pass of one text.
struct Pass {
  std::string text;
  uint64_t index = 0;       // of its example in the input
  int64_t row = -1;         // where its pooled vectors are kept, -1: nowhere
  int64_t token_slot = -1;  // where its metrics of tokens are kept, -1: nowhere
  int64_t viewed = -1;      // which text of views_of it is a view of, -1: none
  int view = 0;             // which of its views
  bool always = false;      // a passage to be found: measured before whatever looks for it
};

struct ScorePlan {
  std::vector<const Metric*> metrics;  // in the order of AllMetrics()
  std::vector<Pass> passes;            // all views of a text stand side by side
  int64_t rows = 0;                    // that are kept

  // Below, numbers are rows, unless said otherwise; `…_indices` are places in the input.
  std::vector<uint64_t> token_indices;  // by token slot

  std::vector<int64_t> texts;  // for the metrics of sets of texts
  std::vector<uint64_t> text_indices;
  std::vector<int64_t> first_halves, second_halves;
  std::vector<uint64_t> half_indices;
  std::vector<int64_t> masked_first_halves, masked_second_halves;
  std::vector<uint64_t> masked_indices;
  std::vector<uint64_t> views_of;  // the texts that have views: places in the input
  std::vector<int64_t> first_views, second_views;

  std::vector<int64_t> labelled;
  std::vector<int64_t> labels;  // 0…C-1, one for each of `labelled`
  std::vector<int64_t> pair_first, pair_second;
  std::vector<double> pair_scores;
  std::vector<int64_t> queries, passages;
  std::vector<std::vector<int64_t>> relevant;  // for each query, places in `passages`
  std::vector<uint64_t> example_indices;       // of `labelled`, of the pairs, or of `queries`

  std::map<std::string, Skipped> skipped;  // by reason
};

// At most so many texts take part in what compares texts with each other, or keeps several vectors of each; metrics of
// tokens, labels, pairs and retrieval are over all.
inline constexpr size_t kMaxCompared = 1000;

// INVALID_ARGUMENT where a metric is unknown, or asks for what the examples do not have.
absl::StatusOr<ScorePlan> MakePlan(const ScoreTask& task, const Dataset& dataset);

// What of the plan is over these examples (places in the input) alone: for a run that ends before all are measured.
// Rows and slots keep their numbers; passages stay.
ScorePlan Restrict(const ScorePlan& plan, const std::unordered_set<uint64_t>& indices);

// Counts one more text as left out.
void Skip(std::map<std::string, Skipped>& skipped, const std::string& reason, uint64_t index);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SCORE_PLAN_H_
