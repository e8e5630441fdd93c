// Between the wire and the engine, for scoring and selections. No threads, no state.
#ifndef MIDLAYER_SERVER_SERVICE_SCORING_CONVERT_H_
#define MIDLAYER_SERVER_SERVICE_SCORING_CONVERT_H_

#include <string>

#include "absl/status/statusor.h"
#include "midlayer/v1/scoring.pb.h"
#include "server/engine/dataset.h"
#include "server/engine/model_info.h"
#include "server/engine/score_task.h"
#include "server/selection/record.h"

namespace midlayer {

// Checked options. INVALID_ARGUMENT names the field, what was expected and what came.
absl::StatusOr<ScoreTask> ToScoreTask(const v1::ScoreOptions& options, const ModelInfo& model);

Example ToExample(v1::Example wire);

// Finds a stored report by what was asked: model, data set, options.
std::string CacheKey(const ScoreTask& task, const Dataset& dataset, const ModelInfo& model);

// The chosen layer as a selection, made at `now`.
SelectionRecord ToRecord(const ScoreTask& task, const Dataset& dataset, const ScoreResult& result,
                         const ModelInfo& model, absl::Time now);

// `options` are the caller's; the report has them with defaults filled in.
v1::ScoreReport ToReport(const v1::ScoreOptions& options, const ScoreTask& task, const Dataset& dataset,
                         const ScoreResult& result, const ModelInfo& model);

v1::Selection FromRecord(const SelectionRecord& record, bool promoted);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SCORING_CONVERT_H_
