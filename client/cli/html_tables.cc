// The tables of the page: all numbers, and correlations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/html_report.h"
#include "client/cli/names.h"
#include "client/cli/report_words.h"
#include "client/cli/svg_chart.h"

namespace midlayer::cli {
namespace {

constexpr size_t kMostMetricsOfTable = 8;  // more do not fit on a page

// How good a value is among those of its curve, from 0 to 1, in the direction used.
class Goodness {
 public:
  explicit Goodness(const v1::MetricCurve& curve) : higher_is_better_(curve.higher_is_better()) {
    for (const v1::LayerScore& score : curve.scores()) {
      if (!std::isfinite(score.value())) continue;
      low_ = std::min(low_, score.value());
      high_ = std::max(high_, score.value());
    }
  }

  double operator()(double value) const {
    if (!std::isfinite(value) || high_ <= low_) return 0;
    const double height = (value - low_) / (high_ - low_);
    return higher_is_better_ ? height : 1 - height;
  }

 private:
  const bool higher_is_better_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

std::string NumberCell(const v1::LayerScore* score, const NumberFormat& format, const Goodness& goodness) {
  if (score == nullptr) return "<td></td>";
  const Mark mark = MarkOf(*score);
  std::string cell = absl::StrFormat("<td%s style=\"--g:%.2f\">%s",
                                     mark == Mark::kBest  ? " class=\"best\""
                                     : mark == Mark::kTie ? " class=\"tie\""
                                                          : "",
                                     goodness(score->value()), format(score->value()));
  if (score->has_standard_error() && std::isfinite(score->standard_error())) {
    absl::StrAppend(&cell, " <small>±", format(score->standard_error()), "</small>");
  }
  return cell + "</td>";
}

// The metrics of a group as one table.
std::string NumbersTable(std::span<const v1::MetricCurve* const> curves, const CurveGroup& group,
                         const v1::ScoreReport& report) {
  std::string html =
      absl::StrCat("<div class=\"scroll ", group.css_class, "\" tabindex=\"0\" role=\"region\" aria-label=\"",
                   EscapeHtml(group.title), "\"><table class=\"numbers\"><thead><tr><th scope=\"col\">Layer</th>");
  for (const v1::MetricCurve* curve : curves) {
    const std::string pooling = PoolingOf(*curve);
    absl::StrAppend(&html, "<th scope=\"col\">", HtmlName(curve->metric()), "<small>",
                    curve->higher_is_better() ? "↑ higher" : "↓ lower", pooling.empty() ? "" : ", ",
                    EscapeHtml(pooling), "</small></th>");
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const int layer : LayersOf(report)) {
    const bool is_chosen = layer == report.selection().layer();
    absl::StrAppend(&html, is_chosen ? "<tr class=\"chosen\">" : "<tr>", "<th scope=\"row\">", layer, "</th>");
    for (const v1::MetricCurve* curve : curves) {
      html += NumberCell(ScoreAt(*curve, layer), NumberFormat(*curve), Goodness(*curve));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

// As few tables as there are pages wide enough for, all of about the same width.
std::string NumbersOfGroup(const CurveGroup& group, const v1::ScoreReport& report) {
  std::string html = absl::StrCat("<h3 class=\"group ", group.css_class, "\">", EscapeHtml(group.title), "</h3>\n");
  const std::span<const v1::MetricCurve* const> curves = group.curves;
  const size_t tables = (curves.size() + kMostMetricsOfTable - 1) / kMostMetricsOfTable;
  for (size_t i = 0; i < tables; ++i) {
    const size_t first = i * curves.size() / tables, last = (i + 1) * curves.size() / tables;
    html += NumbersTable(curves.subspan(first, last - first), group, report);
  }
  return html;
}

// A correlation as a bar to the left or to the right of the middle, with its number.
std::string BarCell(double value) {
  if (std::isnan(value)) return "<td>–</td>";
  const double size = 50 * std::min(std::abs(value), 1.0);
  return absl::StrFormat("<td><span class=\"bar\"><i style=\"left:%.0f%%;width:%.0f%%\"></i></span><b>%.2f</b></td>",
                         value < 0 ? 50 - size : 50, size, value);
}

std::string PlainCell(double value, int decimals) {
  return std::isnan(value) ? "<td>–</td>" : absl::StrFormat("<td>%.*f</td>", decimals, value);
}

}  // namespace

std::string HtmlNumbers(const v1::ScoreReport& report) {
  std::string html =
      "<section><h2>All numbers</h2>\n<p>The darker a cell, the better the value among those of its metric, in the "
      "direction that was used; ± is one standard error.</p>\n";
  for (const CurveGroup& group : GroupCurves(report)) html += NumbersOfGroup(group, report);
  return html + "</section>\n";
}

std::string HtmlCorrelations(const v1::ScoreReport& report) {
  if (report.correlations().empty()) return "";
  std::string html =
      "<section><h2>How the curves go with the tasks</h2>\n<p>Over the layers: where one curve is high, is that of the "
      "task high as well? A metric that needs no labels is of use where this is far from 0.</p>\n"
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Correlations\"><table class=\"correlations\">"
      "<thead><tr><th scope=\"col\">Metric</th><th scope=\"col\">Task</th><th scope=\"col\">Spearman</th>"
      "<th scope=\"col\">p</th><th scope=\"col\">Kendall</th><th scope=\"col\">Distance correlation</th></tr></thead>\n"
      "<tbody>\n";
  for (const v1::CurveCorrelation& row : report.correlations()) {
    const std::string pooling = row.pooling() == v1::POOLING_UNSPECIFIED ? "" : PoolingName(row.pooling());
    absl::StrAppend(&html, "<tr><th scope=\"row\">", HtmlName(row.metric()), "</th><td>", HtmlName(row.task_metric()),
                    " <span class=\"tag\">", EscapeHtml(pooling), "</span></td>", BarCell(row.spearman()));
    absl::StrAppend(&html, PlainCell(row.spearman_p(), 3), PlainCell(row.kendall(), 2),
                    PlainCell(row.distance_correlation(), 2), "</tr>\n");
  }
  return html + "</tbody></table></div></section>\n";
}

}  // namespace midlayer::cli
