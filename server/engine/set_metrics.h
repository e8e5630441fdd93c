// From the vectors and values that a LayerScorer kept to the curves of all metrics.
#ifndef MIDLAYER_SERVER_ENGINE_SET_METRICS_H_
#define MIDLAYER_SERVER_ENGINE_SET_METRICS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/layer_scorer.h"
#include "server/engine/score_plan.h"
#include "server/engine/score_task.h"

namespace midlayer {

struct MeasuredCurves {
  std::vector<Curve> curves;       // by metric, then by pooling; not judged
  std::vector<std::string> notes;  // which metrics are not defined where, and why
};

// Every metric of `plan.metrics` at every layer. Before each step `go_on(layers done)` is asked; CANCELLED where it
// says no. Exceptions of libtorch pass through.
absl::StatusOr<MeasuredCurves> MeasureSets(const ScoreTask& task, const ScorePlan& plan, const LayerScorer& scorer,
                                           const std::function<bool(int)>& go_on);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SET_METRICS_H_
