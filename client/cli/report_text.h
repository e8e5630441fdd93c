// A report as tables for a terminal.
#ifndef MIDLAYER_CLIENT_CLI_REPORT_TEXT_H_
#define MIDLAYER_CLIENT_CLI_REPORT_TEXT_H_

#include <string>

#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

// A row a layer and a column a metric, the strongest evidence first; metrics that do not fit into `width` columns (60
// or more) follow in further tables. Then the choice, with all that speaks for it and against it. The last line is how
// to promote it. Any report, also one that is not whole, gives some text.
std::string FormatReport(const v1::ScoreReport& report, size_t width);

// Columns of the labels at the left.
inline constexpr size_t kLabelWidth = 13;

// A block of text beside its label: "Notes        the text, wrapped to `width` and indented". Ends with a line end.
std::string LabelledBlock(const std::string& label, const std::string& text, size_t width);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_REPORT_TEXT_H_
