// The commands `midlayer score` and `midlayer report`.
#ifndef MIDLAYER_CLIENT_CLI_SCORE_H_
#define MIDLAYER_CLIENT_CLI_SCORE_H_

#include <string>

#include "client/cli/connection.h"
#include "client/cli/console.h"
#include "client/cli/dataset.h"
#include "client/cli/report_output.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

struct ScoreOptions {
  ConnectionOptions connection = {.timeout_seconds = 600};
  DatasetOptions dataset;  // empty where the request names a data set of the server
  v1::ScoreOptions request;
  ReportOutput output;
};

// Scores every layer on the data set and writes the report. Returns an ExitCode.
int RunScore(const ScoreOptions& options, const Console& console);

struct ReportOptions {
  std::string path;  // a report in JSON; "-": standard input
  ReportOutput output;
};

// Shows a saved report again. Asks no server. Returns an ExitCode.
int RunReport(const ReportOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SCORE_H_
