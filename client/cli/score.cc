#include "client/cli/score.h"

#include <memory>
#include <utility>

#include "client/cli/json.h"
#include "client/cli/progress.h"
#include "client/cli/score_call.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

absl::Status Score(const ScoreOptions& options, const Console& console) {
  MIDLAYER_RETURN_IF_ERROR(CheckOutput(options.output));
  std::unique_ptr<Dataset> dataset;
  if (!options.dataset.dataset.empty()) {
    MIDLAYER_ASSIGN_OR_RETURN(dataset, OpenDataset(options.dataset, console));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(options.connection));
  Progress progress(console.err, console.err_is_terminal);
  MIDLAYER_ASSIGN_OR_RETURN(const v1::ScoreReport report,
                            CallScoreLayers(connection.get(), options.request, std::move(dataset),
                                            [&progress](const v1::ScoreProgress& state) { progress.Update(state); }));
  progress.Clear();
  return WriteReport(report, options.output, console);
}

absl::Status Report(const ReportOptions& options, const Console& console) {
  MIDLAYER_RETURN_IF_ERROR(CheckOutput(options.output));
  MIDLAYER_ASSIGN_OR_RETURN(const v1::ScoreReport report, ReadReport(options.path, console));
  return WriteReport(report, options.output, console);
}

}  // namespace

int RunScore(const ScoreOptions& options, const Console& console) {
  const absl::Status status = Score(options, console);
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

int RunReport(const ReportOptions& options, const Console& console) {
  const absl::Status status = Report(options, console);
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

}  // namespace midlayer::cli
