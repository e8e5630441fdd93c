// From the vectors and values that a LayerScorer kept to the curves of all metrics.
#ifndef MIDLAYER_SERVER_ENGINE_SET_METRICS_H_
#define MIDLAYER_SERVER_ENGINE_SET_METRICS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/cancelled.h"
#include "server/engine/layer_scorer.h"
#include "server/engine/score_plan.h"
#include "server/engine/score_task.h"

namespace midlayer {

struct MeasuredCurves {
  std::vector<Curve> curves;       // by metric, then by pooling; not judged
  std::vector<std::string> notes;  // which metrics are not defined where, and why
};

// Every metric of `plan.metrics` at every layer. Before each layer `progress(layers done)` is called. CANCELLED soon
// after `cancelled` says so: one step of a probe, one block of similarities, one decomposition. Exceptions of libtorch
// pass through.
absl::StatusOr<MeasuredCurves> MeasureSets(const ScoreTask& task, const ScorePlan& plan, const LayerScorer& scorer,
                                           const std::function<void(int)>& progress, const Cancelled& cancelled);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_SET_METRICS_H_
