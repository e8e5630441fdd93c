// One call of ScoreLayers: examples out, progress and at last the report in.
#ifndef MIDLAYER_CLIENT_CPP_SCORE_LAYERS_H_
#define MIDLAYER_CLIENT_CPP_SCORE_LAYERS_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cpp/connection.h"
#include "midlayer/scoring.h"

namespace midlayer::internal {

// As Client::ScoreLayers.
absl::StatusOr<v1::ScoreReport> RunScoring(Connection& connection, const std::vector<Example>& examples,
                                           const ScoreOptions& options,
                                           const std::function<void(const v1::ScoreProgress&)>& on_progress,
                                           const CallOptions& call);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_SCORE_LAYERS_H_
