// One curve over the layers as inline SVG, coloured by the page's style sheet. A pure function.
#ifndef MIDLAYER_CLIENT_CLI_SVG_CHART_H_
#define MIDLAYER_CLIENT_CLI_SVG_CHART_H_

#include <optional>
#include <string>
#include <vector>

#include "client/cli/report_words.h"

namespace midlayer::cli {

struct ChartPoint {
  int layer = 0;
  double value = 0;                      // not finite: a gap in the line
  std::optional<double> standard_error;  // drawn as a band of one standard error to each side
  Mark mark = Mark::kNone;
};

struct Chart {
  std::vector<ChartPoint> points;   // by layer, ascending
  std::optional<int> chosen_layer;  // gets a line from top to bottom
  std::string title;                // for those who do not see it; escaped here
};

// The element <svg class="chart">, 320 x 180, with axes, band, line and points. For a script: data-x of
// the element has the place of every point (0 to 320), and each finite one is a <circle class="point"> with its number
// in data-i. Without any finite value it says so.
std::string DrawChart(const Chart& chart);

// Round numbers from `low` to `high` (both finite), at most `most` (>= 3) of them, ascending, inside the range; `low`
// itself where low = high.
std::vector<double> Ticks(double low, double high, int most);

// `text` for use in HTML, in attributes too: no markup of it is left.
std::string EscapeHtml(const std::string& text);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SVG_CHART_H_
