// In which order the examples of a run are measured, and when it may stop. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_SCORE_ROUNDS_H_
#define MIDLAYER_SERVER_ENGINE_SCORE_ROUNDS_H_

#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "server/engine/score_plan.h"

namespace midlayer {

// One round, or with ScoreTask::stop_early kLooks rounds of examples drawn at random, after each of which the metric
// that will decide is looked at (see LookAtLeader).
class ScoreRounds {
 public:
  static constexpr int kLooks = 4;

  ScoreRounds(const ScoreTask& task, const ScorePlan& plan);

  int count() const { return count_; }
  int RoundOf(const Pass& pass) const { return pass.always || count_ == 1 ? 0 : round_of_.at(pass.index); }
  // The examples of the rounds 0…round.
  std::unordered_set<uint64_t> Measured(int round) const;

 private:
  int count_ = 1;
  std::unordered_map<uint64_t, int> round_of_;
};

// The metric that decides and that is a mean over examples, which alone can be settled early; null where there is none.
const Metric* SettlingMetric(const ScoreTask& task, const ScorePlan& plan);

// Whether the curves of that metric, with the values of the examples so far, settle the choice at one of kLooks looks.
bool IsSettled(absl::Span<const Curve> curves);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SCORE_ROUNDS_H_
