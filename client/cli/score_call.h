// One call of ScoreLayers: examples out, progress and at last the report in.
#ifndef MIDLAYER_CLIENT_CLI_SCORE_CALL_H_
#define MIDLAYER_CLIENT_CLI_SCORE_CALL_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "client/cli/connection.h"
#include "client/cli/dataset.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

// Sends `options` and the examples of `dataset` (null: none), and hands each progress message to `on_progress`, on the
// caller's thread. Examples are read on another thread, which waits where the server does: large data sets need little
// memory. The timeout of `connection` counts from the end of the data set, and again from each message of the server.
//
// Errors as in Connection, and those of the data set, which end the call. After an interrupt the data set may be left
// to a thread that waits for standard input.
absl::StatusOr<v1::ScoreReport> CallScoreLayers(Connection* connection, const v1::ScoreOptions& options,
                                                std::unique_ptr<Dataset> dataset,
                                                const std::function<void(const v1::ScoreProgress&)>& on_progress);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SCORE_CALL_H_
