#include "server/engine/score_rounds.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "server/base/random.h"
#include "server/selection/choose.h"
#include "server/statistics/sequential.h"

namespace midlayer {

namespace {

constexpr uint64_t kRoundStream = 201;  // of random numbers below the run's seed

bool IsMeanOverExamples(const Metric& metric) {
  return metric.group != MetricGroup::kTexts && metric.name != "lidar" && metric.name != "dime" &&
         metric.group != MetricGroup::kScores;
}

}  // namespace

ScoreRounds::ScoreRounds(const ScoreTask& task, const ScorePlan& plan) {
  if (!task.stop_early || SettlingMetric(task, plan) == nullptr) return;
  count_ = kLooks;
  std::set<uint64_t> indices;
  for (const Pass& pass : plan.passes) indices.insert(pass.index);
  for (const auto* list : {&plan.token_indices, &plan.text_indices, &plan.half_indices, &plan.masked_indices,
                           &plan.views_of, &plan.example_indices}) {
    indices.insert(list->begin(), list->end());
  }
  std::vector<uint64_t> order(indices.begin(), indices.end());
  Random(Random::SubSeed(task.seed, kRoundStream)).Shuffle(absl::MakeSpan(order));
  for (size_t i = 0; i < order.size(); ++i) {
    round_of_[order[i]] = static_cast<int>(i * static_cast<size_t>(kLooks) / order.size());
  }
}

std::unordered_set<uint64_t> ScoreRounds::Measured(int round) const {
  std::unordered_set<uint64_t> measured;
  for (const auto& [index, of] : round_of_) {
    if (of <= round) measured.insert(index);
  }
  return measured;
}

const Metric* SettlingMetric(const ScoreTask& task, const ScorePlan& plan) {
  if (task.criterion.terms.size() == 1) {
    const Metric* metric = task.criterion.terms[0].metric;
    return IsMeanOverExamples(*metric) ? metric : nullptr;
  }
  if (task.criterion.text != "auto") return nullptr;
  const Metric* metric = AutoDecider([&](std::string_view name) {
    return std::any_of(plan.metrics.begin(), plan.metrics.end(), [name](const Metric* m) { return m->name == name; });
  });
  return metric != nullptr && IsMeanOverExamples(*metric) ? metric : nullptr;
}

bool IsSettled(absl::Span<const Curve> curves) {
  if (curves.empty()) return false;
  return std::all_of(curves.begin(), curves.end(), [](const Curve& curve) {
    std::vector<double> examples;
    for (const LayerScore& layer : curve.layers) {
      if (layer.examples.empty()) return false;
      examples.insert(examples.end(), layer.examples.begin(), layer.examples.end());
    }
    const auto look = LookAtLeader(examples, static_cast<int>(curve.layers.size()),
                                   {.direction = curve.direction, .looks = ScoreRounds::kLooks});
    return look.ok() && look->settled;
  });
}

}  // namespace midlayer
