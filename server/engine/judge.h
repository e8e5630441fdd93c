// From measured curves to a result: ranks, correlations, choice, remarks. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_JUDGE_H_
#define MIDLAYER_SERVER_ENGINE_JUDGE_H_

#include "absl/status/status.h"
#include "server/engine/score_task.h"

namespace midlayer {

// Fills in all that follows from result.curves. FAILED_PRECONDITION where nothing was measured, or the criterion needs
// what was not.
absl::Status JudgeResult(const ScoreTask& task, const ModelTraits& model, ScoreResult& result);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_JUDGE_H_
