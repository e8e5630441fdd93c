// A report as one page that needs nothing else: for a browser, a phone, or a printer.
#ifndef MIDLAYER_CLIENT_CLI_HTML_REPORT_H_
#define MIDLAYER_CLIENT_CLI_HTML_REPORT_H_

#include <string>

#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

// The page: the choice, the curves as small charts, tables of all numbers, correlations, cost and options. UTF-8. It
// loads nothing, works without its script (which only tells the numbers under the pointer or the keyboard's cursor),
// and whatever the report says is text in it, never markup. Any report, also one that is not whole, gives a page.
std::string FormatHtml(const v1::ScoreReport& report);

// Parts of the page, each a section or empty where there is nothing to show.
std::string HtmlNumbers(const v1::ScoreReport& report);
std::string HtmlCorrelations(const v1::ScoreReport& report);

// `name` escaped, with places at its underscores where a line may break.
std::string HtmlName(const std::string& name);

// The page's style sheet and script.
extern const char kPageStyle[];
extern const char kPageScript[];

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_HTML_REPORT_H_
