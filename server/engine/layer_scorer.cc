#include "server/engine/layer_scorer.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <time.h>

#include <limits>
#include <set>
#include <utility>

#include "server/base/status.h"
#include "server/engine/pooling.h"
#include "server/scoring/center.h"

namespace midlayer {

namespace {

bool IsReference(const ScoreTask& task) { return task.entropy.mode != Mode::kDefinition; }

int SlotsOf(const ScoreTask& task) { return static_cast<int>(task.poolings.size()) + (IsReference(task) ? 1 : 0); }

// Processor time of this thread.
double ThreadSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

float ValueOrNan(const absl::StatusOr<double>& value) {
  return value.ok() ? static_cast<float>(*value) : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

uint64_t LayerScorer::Bytes(const ScoreTask& task, const ScorePlan& plan, const LayerScorerOptions& options) {
  const auto hidden = static_cast<uint64_t>(options.hidden);
  const auto vectors = static_cast<uint64_t>(options.layers * SlotsOf(task));
  uint64_t each = static_cast<uint64_t>(plan.rows) * hidden * sizeof(float);
  if (!plan.views_of.empty()) {
    // LidarAccumulator: the means, the scatter, and what is pending of it; and the views of one text here.
    each += (plan.views_of.size() + 2 * hidden + 2 * static_cast<uint64_t>(task.views)) * hidden * sizeof(double);
  }
  const uint64_t tokens = kTokenMetrics * static_cast<uint64_t>(options.layers) * plan.token_indices.size();
  return vectors * each + tokens * sizeof(float);
}

LayerScorer::LayerScorer(const ScoreTask* task, const ScorePlan* plan, const LayerScorerOptions& options)
    : task_(*task), plan_(*plan), options_(options), reference_(IsReference(*task)), slots_(SlotsOf(*task)) {
  for (int i = 0; i < options.layers * slots_; ++i) {
    vectors_.push_back({.rows_RD = at::zeros({plan->rows, options.hidden}, at::kFloat), .lidar = LidarAccumulator()});
    if (!plan->views_of.empty()) pending_views_.push_back(at::empty({task->views, options.hidden}, at::kFloat));
  }
  for (auto& by_layer : tokens_) {
    by_layer.assign(static_cast<size_t>(options.layers),
                    std::vector<float>(plan->token_indices.size(), std::numeric_limits<float>::quiet_NaN()));
  }
}

void LayerScorer::Accumulate(const StatesChunk& chunk) {
  const c10::InferenceMode inference;
  const auto rows = static_cast<int64_t>(chunk.passes.size());
  std::vector<std::vector<std::string>> reasons(static_cast<size_t>(rows * options_.layers));
  // Views of different texts in one chunk would share pending_views_: one text at a time.
  for (int64_t first = 0; first < rows;) {
    int64_t end = first + 1;
    const int64_t viewed = chunk.passes[first]->viewed;
    while (end < rows && chunk.passes[end]->viewed == viewed) ++end;
    InParallel(first * options_.layers, end * options_.layers, [&](int64_t i) {
      Measure(chunk, i / options_.layers, static_cast<int>(i % options_.layers), reasons[i]);
    });
    if (viewed >= 0 && chunk.passes[end - 1]->view == task_.views - 1) AddViews(chunk.passes[first]->index);
    first = end;
  }
  for (int64_t row = 0; row < rows; ++row) {
    std::set<std::string> of_row;
    for (int layer = 0; layer < options_.layers; ++layer) {
      const auto& found = reasons[row * options_.layers + layer];
      of_row.insert(found.begin(), found.end());
    }
    for (const std::string& reason : of_row) Skip(skipped_, reason, chunk.passes[row]->index);
  }
}

void LayerScorer::InParallel(int64_t begin, int64_t end, const std::function<void(int64_t)>& work) {
  at::parallel_for(begin, end, 1, [&](int64_t first, int64_t last) {
    const c10::InferenceMode inference;
    const double start = ThreadSeconds();
    for (int64_t i = first; i < last; ++i) work(i);
    processor_seconds_ += ThreadSeconds() - start;
  });
}

void LayerScorer::Measure(const StatesChunk& chunk, int64_t row, int layer, std::vector<std::string>& reasons) {
  const Pass& pass = *chunk.passes[row];
  const int64_t begin = chunk.packed.offsets[row], tokens = chunk.packed.offsets[row + 1] - begin;
  const at::Tensor states_TD =
      at::from_blob(const_cast<float*>(chunk.layers_PD[layer].data()) + begin * options_.hidden,
                    {tokens, options_.hidden}, at::kFloat);
  if (pass.row >= 0 || pass.viewed >= 0) {
    for (size_t pooling = 0; pooling < task_.poolings.size(); ++pooling) {
      KeepPooled(pass, layer, static_cast<int>(pooling),
                 Pool(states_TD, chunk.pool_begin[row], task_.poolings[pooling]));
    }
  }
  absl::StatusOr<at::Tensor> centered_D = absl::NotFoundError("not measured");
  if (pass.token_slot >= 0) {
    TokenMetrics metrics = midlayer::Measure(TokensOf(states_TD), task_.entropy);
    KeepTokens(pass, layer, metrics, reasons);
    centered_D = std::move(metrics.pooled_centered_D);
  } else if (reference_) {
    centered_D = PooledCentered(TokensOf(states_TD));
  }
  if (!reference_ || (pass.row < 0 && pass.viewed < 0)) return;
  if (centered_D.ok()) return KeepPooled(pass, layer, slots_ - 1, *centered_D);
  reasons.emplace_back(centered_D.status().message());
  // Its row stays zero; as a view it must not stand for the text before.
  if (pass.viewed >= 0) {
    pending_views_[layer * slots_ + slots_ - 1][pass.view].fill_(std::numeric_limits<float>::quiet_NaN());
  }
}

// The tokens that metrics of tokens are of; one, too few for any of them, where nothing would be left.
at::Tensor LayerScorer::TokensOf(const at::Tensor& states_TD) const {
  int64_t begin = task_.skip_leading_tokens, end = states_TD.size(0);
  if (task_.without_special_tokens) {
    begin += options_.leading_tokens;
    end -= options_.trailing_tokens;
  }
  return begin < end ? states_TD.narrow(0, begin, end - begin) : states_TD.narrow(0, 0, 1);
}

void LayerScorer::KeepTokens(const Pass& pass, int layer, const TokenMetrics& metrics,
                             std::vector<std::string>& reasons) {
  const std::pair<TokenMetric, const absl::StatusOr<double>*> kept[] = {
      {kPromptEntropy, &metrics.prompt_entropy},
      {kCurvature, &metrics.curvature},
      {kIntrinsicDimension, &metrics.intrinsic_dimension}};
  for (const auto& [metric, value] : kept) {
    tokens_[metric][layer][pass.token_slot] = ValueOrNan(*value);
    if (!value->ok()) reasons.emplace_back(value->status().message());
  }
}

void LayerScorer::KeepPooled(const Pass& pass, int layer, int slot, const at::Tensor& vector_D) {
  const size_t at = static_cast<size_t>(layer * slots_ + slot);
  if (pass.row >= 0) vectors_[at].rows_RD[pass.row].copy_(vector_D);
  if (pass.viewed >= 0) pending_views_[at][pass.view].copy_(vector_D);
}

void LayerScorer::AddViews(uint64_t index) {
  std::vector<std::string> reasons(vectors_.size());
  InParallel(0, static_cast<int64_t>(vectors_.size()), [&](int64_t i) {
    const absl::Status added = vectors_[i].lidar.Add(pending_views_[i]);
    if (!added.ok()) reasons[i] = std::string(added.message());
  });
  for (const std::string& reason : reasons) {
    if (!reason.empty()) return Skip(skipped_, reason, index);
  }
}

}  // namespace midlayer
