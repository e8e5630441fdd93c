// Where a report goes: to the screen, into a pipe, into a page.
#ifndef MIDLAYER_CLIENT_CLI_REPORT_OUTPUT_H_
#define MIDLAYER_CLIENT_CLI_REPORT_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "client/cli/console.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

struct ReportOutput {
  bool json = false;  // else tables
  std::string html;   // a file for the page as well; empty: none
};

// Whether the page can be written, to be asked before the work begins. NOT_FOUND names the file.
absl::Status CheckOutput(const ReportOutput& output);

// Writes the report to console.out, and then the page. UNKNOWN where that fails.
absl::Status WriteReport(const v1::ScoreReport& report, const ReportOutput& output, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_REPORT_OUTPUT_H_
