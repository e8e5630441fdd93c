// Takes the states of texts, layer by layer, and keeps what the metrics need of them: never the states themselves.
#ifndef MIDLAYER_SERVER_ENGINE_LAYER_SCORER_H_
#define MIDLAYER_SERVER_ENGINE_LAYER_SCORER_H_

#include <ATen/core/Tensor.h>

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/score_plan.h"
#include "server/models/packed_tokens.h"
#include "server/scoring/lidar.h"
#include "server/scoring/prompt_metrics.h"

namespace midlayer {

// Some passes with the states of all their layers, on the host.
struct StatesChunk {
  std::vector<const Pass*> passes;  // B
  std::vector<int> pool_begin;      // B: the first token that is pooled
  PackedTokens packed;
  std::vector<std::vector<float>> layers_PD;  // layer by layer, (P, D)
};

struct LayerScorerOptions {
  int layers = 1;      // how many are measured: the deepest + 1
  int64_t hidden = 1;  // D
  // Special tokens before and after every text, for ScoreTask::without_special_tokens.
  int leading_tokens = 0;
  int trailing_tokens = 0;
};

// The vectors that one layer gives under one pooling (or, in the reference modes, under the reference's own).
struct PooledVectors {
  at::Tensor rows_RD;  // float32
  LidarAccumulator lidar;
};

// Not thread-safe; works on several threads by itself. What `task` and `plan` name must outlive it.
class LayerScorer {
 public:
  LayerScorer(const ScoreTask* task, const ScorePlan* plan, const LayerScorerOptions& options);

  // Bytes that an object of these sizes holds.
  static uint64_t Bytes(const ScoreTask& task, const ScorePlan& plan, const LayerScorerOptions& options);

  // Takes the passes of a chunk. Every pass once; all views of a text in their order.
  void Accumulate(const StatesChunk& chunk);

  int layers() const { return options_.layers; }
  // The task's poolings, and behind them, in the reference modes, the reference's own pooling.
  int pooling_slots() const { return slots_; }
  // Where metrics of the papers find their vectors; task metrics use the slots of the task's poolings.
  int paper_slot(int pooling) const { return reference_ ? slots_ - 1 : pooling; }

  const PooledVectors& vectors(int layer, int slot) const { return vectors_[layer * slots_ + slot]; }
  // By token slot; NaN where it is not defined.
  enum TokenMetric { kPromptEntropy, kCurvature, kIntrinsicDimension, kTokenMetrics };
  const std::vector<float>& tokens(TokenMetric metric, int layer) const { return tokens_[metric][layer]; }
  const std::map<std::string, Skipped>& skipped() const { return skipped_; }
  // Processor time of Accumulate() so far, of all its threads.
  double processor_seconds() const { return processor_seconds_; }

 private:
  // Calls work(i) for begin…end - 1 on several threads, and counts their time.
  void InParallel(int64_t begin, int64_t end, const std::function<void(int64_t)>& work);
  // One text at one layer. `reasons`: for which metrics are not defined for it.
  void Measure(const StatesChunk& chunk, int64_t row, int layer, std::vector<std::string>& reasons);
  void KeepTokens(const Pass& pass, int layer, const TokenMetrics& metrics, std::vector<std::string>& reasons);
  void KeepPooled(const Pass& pass, int layer, int slot, const at::Tensor& vector_D);
  // The views of a text are complete.
  void AddViews(uint64_t index);
  at::Tensor TokensOf(const at::Tensor& states_TD) const;

  const ScoreTask& task_;
  const ScorePlan& plan_;
  const LayerScorerOptions options_;
  const bool reference_;
  const int slots_;
  std::vector<PooledVectors> vectors_;     // by layer and slot
  std::vector<at::Tensor> pending_views_;  // likewise: (A, D), the views of one text
  std::vector<std::vector<float>> tokens_[kTokenMetrics];
  std::map<std::string, Skipped> skipped_;
  std::atomic<double> processor_seconds_ = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_LAYER_SCORER_H_
