#include "client/cli/html_report.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/names.h"
#include "client/cli/report_words.h"
#include "client/cli/svg_chart.h"

namespace midlayer::cli {
namespace {

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    // It loads nothing, whatever is in it.
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n";

constexpr char kLegend[] =
    "<ul class=\"legend task\">"
    "<li><svg viewBox=\"0 0 24 14\" aria-hidden=\"true\"><circle class=\"point\" cx=\"12\" cy=\"7\" r=\"4.5\"/></svg>"
    "best layer</li>"
    "<li><svg viewBox=\"0 0 24 14\" aria-hidden=\"true\"><circle class=\"point tie\" cx=\"12\" cy=\"7\" r=\"4\"/></svg>"
    "as good within 2 standard errors</li>"
    "<li><svg viewBox=\"0 0 24 14\" aria-hidden=\"true\"><rect class=\"band\" width=\"24\" y=\"2\" height=\"10\"/>"
    "<line class=\"line\" x1=\"0\" x2=\"24\" y1=\"7\" y2=\"7\"/></svg>value ± one standard error</li>"
    "<li><svg class=\"chart\" viewBox=\"0 0 24 14\" aria-hidden=\"true\"><line class=\"chosen\" x1=\"12\" x2=\"12\" "
    "y1=\"0\" y2=\"14\"/></svg>chosen layer</li></ul>\n";

std::string Fact(const std::string& name, const std::string& value) {
  return absl::StrCat("<div><dt>", EscapeHtml(name), "</dt><dd>", EscapeHtml(value), "</dd></div>\n");
}

// The layers as a row of cells, the chosen one and those that tie with it marked.
std::string DepthStrip(const v1::ScoreReport& report) {
  const std::vector<int> layers = LayersOf(report);
  std::string html = absl::StrCat("<ol class=\"depth\" aria-hidden=\"true\" style=\"--n:", layers.size(), "\">");
  for (const int layer : layers) {
    const bool is_chosen = layer == report.selection().layer();
    const bool is_tied = std::ranges::find(report.ties(), layer) != report.ties().end();
    absl::StrAppend(&html, "<li",
                    is_chosen ? " class=\"chosen\""
                    : is_tied ? " class=\"tied\""
                              : "",
                    ">", layer, "</li>");
  }
  absl::StrAppend(&html,
                  "</ol>\n<p class=\"under\">Layers from the embeddings (0) to the deepest, the chosen one filled",
                  report.ties_size() > 1 ? ", those as good as it outlined" : "", ".</p>\n");
  return html;
}

std::string Header(const v1::ScoreReport& report) {
  const v1::Selection& selection = report.selection();
  const std::string sentence = EscapeHtml(ChoiceSentence(report));
  const size_t name_end = sentence.find(' ', sentence.find(' ') + 1);  // "Layer 4" comes first
  std::string html =
      absl::StrCat("<header>\n<p class=\"eyebrow\">Which layer is best for ", EscapeHtml(report.model()),
                   "?</p>\n<h1><em>", sentence.substr(0, name_end), "</em>", sentence.substr(name_end), "</h1>\n");
  if (!selection.reason().empty())
    absl::StrAppend(&html, "<p class=\"lead\">", EscapeHtml(selection.reason()), "</p>\n");
  absl::StrAppend(&html, DepthStrip(report), "<dl class=\"facts\">\n",
                  Fact("Confidence", absl::StrCat(ConfidenceName(selection.confidence()), ": ",
                                                  ConfidenceMeaning(selection.confidence()))),
                  Fact("Evidence", EvidenceName(selection.evidence())), Fact("Ties", TiesSentence(report)),
                  Fact("Measured on", ExamplesSentence(report)));
  const std::string promotion = PromotionSentence(report);
  if (!promotion.empty()) {
    absl::StrAppend(&html, "<div class=\"wide\"><dt>Selection</dt><dd><code>", EscapeHtml(selection.id()),
                    "</code><br>", EscapeHtml(promotion), "</dd></div>\n");
  }
  html += "</dl>\n";
  if (!report.notes().empty()) {
    html += "<aside class=\"notes\" aria-label=\"Notes\"><ul>\n";
    for (const std::string& note : report.notes()) absl::StrAppend(&html, "<li>", EscapeHtml(note), "</li>\n");
    html += "</ul></aside>\n";
  }
  return html + "</header>\n";
}

// "layer 4: 0.8805 ± 0.0103, best".
std::string Reading(const v1::LayerScore& score, const NumberFormat& format) {
  if (std::isnan(score.value())) return absl::StrCat("layer ", score.layer(), ": not defined");
  std::string reading = absl::StrCat("layer ", score.layer(), ": ", format(score.value()));
  if (score.has_standard_error()) absl::StrAppend(&reading, " ± ", format(score.standard_error()));
  const Mark mark = MarkOf(score);
  return absl::StrCat(reading, mark == Mark::kBest ? ", best" : mark == Mark::kTie ? ", as good as the best" : "");
}

// Where the reading rests: the chosen layer, else the first.
size_t HomeOf(const v1::MetricCurve& curve, int chosen) {
  for (int i = 0; i < curve.scores_size(); ++i) {
    if (curve.scores(i).layer() == chosen) return i;
  }
  return 0;
}

std::string ChartFigure(const v1::MetricCurve& curve, const v1::ScoreReport& report) {
  const NumberFormat format(curve);
  const std::string pooling = PoolingOf(curve);
  Chart chart = {.chosen_layer = report.selection().layer()};
  std::vector<std::string> readings;
  for (const v1::LayerScore& score : curve.scores()) {
    ChartPoint point = {.layer = score.layer(), .value = score.value(), .mark = MarkOf(score)};
    if (score.has_standard_error()) point.standard_error = score.standard_error();
    chart.points.push_back(point);
    readings.push_back(Reading(score, format));
  }
  chart.title = absl::StrCat(curve.metric(), pooling.empty() ? "" : ", ", pooling, ", over the layers, best at layer ",
                             curve.best_layer());
  const size_t home = HomeOf(curve, report.selection().layer());
  std::string html = absl::StrCat("<figure tabindex=\"0\" data-home=\"", home, "\" data-readings=\"",
                                  absl::StrJoin(readings, "|"), "\">\n<figcaption><h3>", HtmlName(curve.metric()));
  if (!pooling.empty()) absl::StrAppend(&html, " <span class=\"tag\">", EscapeHtml(pooling), "</span>");
  absl::StrAppend(&html, "</h3><p class=\"direction\"><b>", curve.higher_is_better() ? "↑ " : "↓ ",
                  DirectionUsed(curve), "</b><br>theory: ", DirectionName(curve.theory()),
                  "; observed: ", DirectionName(curve.observed()), "</p></figcaption>\n", DrawChart(chart),
                  "\n<output>", readings.empty() ? "" : readings[home], "</output>\n</figure>\n");
  return html;
}

std::string Curves(const v1::ScoreReport& report) {
  std::string html = absl::StrCat(
      "<section><h2>Curves</h2>\n<p>Each metric over the layers. Point at a curve, or move to it with the tab key and "
      "along it with the arrow keys, to read its numbers.</p>\n",
      kLegend);
  for (const CurveGroup& group : GroupCurves(report)) {
    absl::StrAppend(&html, "<div class=\"", group.css_class, "\"><h3 class=\"group\">", EscapeHtml(group.title),
                    "</h3>\n<p class=\"about\">", EscapeHtml(group.about), "</p>\n<div class=\"charts\">\n");
    for (const v1::MetricCurve* curve : group.curves) html += ChartFigure(*curve, report);
    html += "</div></div>\n";
  }
  return html + "</section>\n";
}

std::string Run(const v1::ScoreReport& report) {
  std::string html = "<section><h2>The run</h2>\n<dl class=\"facts\">\n";
  html += Fact("Took",
               absl::StrCat(CostSentence(report.cost()), report.cached() ? "; stored before, not computed again" : ""));
  std::vector<std::string> skipped;
  for (const v1::SkippedExamples& examples : report.skipped()) skipped.push_back(SkippedSentence(examples));
  html += Fact("Left out", skipped.empty() ? "no example" : absl::StrJoin(skipped, "; "));
  if (!report.selection().dataset_digest().empty()) {
    html += Fact("Data set (SHA-256)", report.selection().dataset_digest());
  }
  if (!report.selection().model_fingerprint().empty()) {
    html += Fact("Model up to that layer (SHA-256)", report.selection().model_fingerprint());
  }
  html += "</dl></section>\n<section><h2>Options</h2>\n<dl class=\"pairs\">\n";
  for (const auto& [name, value] : ListOptions(report.options())) html += Fact(name, value);
  return html + "</dl></section>\n";
}

std::string Footer(const v1::ScoreReport& report) {
  std::string html =
      absl::StrCat("<footer>midlayer ", EscapeHtml(report.server_version()), ", ", EscapeHtml(report.model()));
  const int64_t created = report.selection().created_unix_seconds();
  if (created > 0) absl::StrAppend(&html, ", ", FormatTime(created));
  return html + "</footer>\n";
}

}  // namespace

std::string HtmlName(const std::string& name) { return absl::StrReplaceAll(EscapeHtml(name), {{"_", "_<wbr>"}}); }

std::string FormatHtml(const v1::ScoreReport& report) {
  return absl::StrCat(kHead, "<title>Layer ", report.selection().layer(), " of ", EscapeHtml(report.model()),
                      ": midlayer</title>\n<style>", kPageStyle, "</style>\n</head>\n<body>\n<main>\n", Header(report),
                      Curves(report), HtmlNumbers(report), HtmlCorrelations(report), Run(report), "</main>\n",
                      Footer(report), "<script>", kPageScript, "</script>\n</body>\n</html>\n");
}

}  // namespace midlayer::cli
