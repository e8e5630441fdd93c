#include "client/cli/report_text.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/cli/report_words.h"
#include "client/cli/sparkline.h"
#include "server/base/help_formatter.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

constexpr size_t kMinWidth = 60;
constexpr size_t kLayerWidth = 7;
constexpr size_t kMinColumnWidth = 9;
constexpr size_t kMaxColumnWidth = 22;
constexpr absl::string_view kGap = "   ";
constexpr char kLegend[] =
    "* best   = as good within 2 standard errors   ↑ higher is better   ↓ lower is better   > chosen";

// A metric as a column: its heading, a cell a layer, and the curve; all of one width.
struct Column {
  std::vector<std::string> heading;
  std::vector<std::string> cells;
  std::string curve;
  size_t width = kMinColumnWidth;
};

// A metric's name in lines of at most `width` columns, broken at its underscores.
std::vector<std::string> BreakName(const std::string& name, size_t width) {
  std::vector<std::string> lines;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(Printable(name), '_'))) {
    if (!lines.empty() && Width(lines.back()) + 1 + Width(word) <= width) {
      absl::StrAppend(&lines.back(), " ", word);
    } else {
      lines.push_back(Cut(word, width));
    }
  }
  return lines;
}

// The widest number of the curve, and whether errors stand beside the numbers.
struct CellShape {
  size_t value_width = 0;
  bool has_errors = false;
};

CellShape ShapeOf(const v1::MetricCurve& curve, const NumberFormat& format) {
  CellShape shape;
  for (const v1::LayerScore& score : curve.scores()) {
    shape.value_width = std::max(shape.value_width, Width(format(score.value())));
    shape.has_errors |= score.has_standard_error();
  }
  return shape;
}

std::string FormatCell(const v1::LayerScore* score, const NumberFormat& format, const CellShape& shape) {
  if (score == nullptr) return "";
  const Mark mark = MarkOf(*score);
  std::string cell = absl::StrCat(PadLeft(format(score->value()), shape.value_width), mark == Mark::kBest  ? "*"
                                                                                      : mark == Mark::kTie ? "="
                                                                                                           : " ");
  if (!shape.has_errors) return cell;
  const bool has_error = std::isfinite(score->value()) && score->has_standard_error();
  const std::string error = has_error ? absl::StrCat("±", format(score->standard_error())) : "";
  return absl::StrCat(cell, " ", PadRight(error, 1 + Width(format(0))));
}

Column MakeColumn(const v1::MetricCurve& curve, const std::vector<int>& layers, bool with_pooling) {
  Column column;
  const NumberFormat format(curve);
  const CellShape shape = ShapeOf(curve, format);
  std::vector<double> values;
  for (const int layer : layers) {
    const v1::LayerScore* score = ScoreAt(curve, layer);
    values.push_back(score == nullptr ? NAN : score->value());
    column.cells.push_back(FormatCell(score, format, shape));
    column.width = std::max(column.width, Width(column.cells.back()));
  }
  column.heading = BreakName(curve.metric(), std::min(column.width, kMaxColumnWidth));
  absl::StrAppend(&column.heading.back(), curve.higher_is_better() ? " ↑" : " ↓");
  if (with_pooling) column.heading.push_back(PoolingOf(curve));
  for (const std::string& line : column.heading) column.width = std::max(column.width, Width(line));
  column.curve = Sparkline(values, column.width);
  return column;
}

// Columns [first, last) as one table.
std::string FormatTable(const std::vector<Column>& columns, size_t first, size_t last, const std::vector<int>& layers,
                        int chosen) {
  size_t heading_lines = 0;
  for (size_t i = first; i < last; ++i) heading_lines = std::max(heading_lines, columns[i].heading.size());
  std::string table;
  for (size_t line = 0; line < heading_lines; ++line) {
    table += PadLeft(line + 1 == heading_lines ? "layer" : "", kLayerWidth);
    for (size_t i = first; i < last; ++i) {
      const size_t empty = heading_lines - columns[i].heading.size();
      absl::StrAppend(&table, kGap, PadLeft(line < empty ? "" : columns[i].heading[line - empty], columns[i].width));
    }
    table += '\n';
  }
  for (size_t row = 0; row < layers.size(); ++row) {
    table += PadLeft(absl::StrCat(layers[row] == chosen ? "> " : "", layers[row]), kLayerWidth);
    for (size_t i = first; i < last; ++i) {
      absl::StrAppend(&table, kGap, PadLeft(columns[i].cells[row], columns[i].width));
    }
    table += '\n';
  }
  table += PadLeft("curve", kLayerWidth);
  for (size_t i = first; i < last; ++i) absl::StrAppend(&table, kGap, PadLeft(columns[i].curve, columns[i].width));
  return table + "\n\n";
}

std::string FormatGroup(const CurveGroup& group, const v1::ScoreReport& report, size_t width) {
  const std::vector<int> layers = LayersOf(report);
  std::vector<Column> columns;
  for (const v1::MetricCurve* curve : group.curves) {
    columns.push_back(MakeColumn(*curve, layers, HasSeveralPoolings(report)));
  }
  std::string text = Wrap(absl::StrCat(group.title, ". ", group.about), 0, width) + "\n";
  for (size_t first = 0; first < columns.size();) {
    size_t used = kLayerWidth, last = first;
    while (last < columns.size() && (last == first || used + kGap.size() + columns[last].width <= width)) {
      used += kGap.size() + columns[last++].width;
    }
    text += FormatTable(columns, first, last, layers, report.selection().layer());
    first = last;
  }
  return text;
}

// How the curves without a task go with the one that decided. Empty where there is nothing to tell.
std::string FormatCorrelations(const v1::ScoreReport& report, size_t width) {
  if (report.correlations().empty()) return "";
  std::string task = report.selection().metric();
  v1::Pooling pooling = report.selection().pooling();
  const auto is_of = [&](const v1::CurveCorrelation& row) {
    return row.task_metric() == task && row.pooling() == pooling;
  };
  if (std::ranges::none_of(report.correlations(), is_of)) {
    task = report.correlations(0).task_metric();
    pooling = report.correlations(0).pooling();
  }
  constexpr size_t kNumbersWidth = 40;
  size_t name_width = 6;
  for (const v1::CurveCorrelation& row : report.correlations()) {
    if (is_of(row)) name_width = std::max(name_width, Width(Printable(row.metric())));
  }
  name_width = std::min(name_width, width - kNumbersWidth);
  std::string text =
      Wrap(absl::StrCat("How the other curves go with that of ", Printable(task), ", over the layers: correlations."),
           0, width);
  absl::StrAppend(&text, "\n  ", PadRight("metric", name_width), "  Spearman        p  Kendall  distance\n");
  const auto number = [](double value) { return std::isnan(value) ? "–" : absl::StrFormat("%.2f", value); };
  for (const v1::CurveCorrelation& row : report.correlations()) {
    if (!is_of(row)) continue;
    const std::string p = std::isnan(row.spearman_p()) ? "–" : absl::StrFormat("%.3f", row.spearman_p());
    absl::StrAppend(&text, "  ", PadRight(Cut(Printable(row.metric()), name_width), name_width), "  ",
                    PadLeft(number(row.spearman()), 8), "  ", PadLeft(p, 7), "  ", PadLeft(number(row.kendall()), 7),
                    "  ", PadLeft(number(row.distance_correlation()), 8), "\n");
  }
  return text + "\n";
}

std::string FormatChoice(const v1::ScoreReport& report, size_t width) {
  const v1::Selection& selection = report.selection();
  std::string text = LabelledBlock("Choice", ChoiceSentence(report), width);
  if (!selection.reason().empty()) text += LabelledBlock("", selection.reason(), width);
  text += LabelledBlock("Evidence", EvidenceName(selection.evidence()), width);
  text += LabelledBlock(
      "Confidence",
      absl::StrCat(ConfidenceName(selection.confidence()), " (", ConfidenceMeaning(selection.confidence()), ")"),
      width);
  text += LabelledBlock("Ties", TiesSentence(report), width);
  std::string label = "Left out";
  for (const v1::SkippedExamples& skipped : report.skipped()) {
    text += LabelledBlock(label, SkippedSentence(skipped), width);
    label.clear();
  }
  label = "Notes";
  for (const std::string& note : report.notes()) {
    text += LabelledBlock(label, note, width);
    label.clear();
  }
  text += LabelledBlock("Took", CostSentence(report.cost()), width);
  if (report.cached())
    text += LabelledBlock("", "Not computed again: this report was stored. --refresh computes it.", width);
  if (selection.id().empty()) return text;
  absl::StrAppend(&text, PadRight("Selection", kLabelWidth), Printable(selection.id()), "\n");
  return text + LabelledBlock("", PromotionSentence(report), width);
}

}  // namespace

std::string LabelledBlock(const std::string& label, const std::string& text, size_t width) {
  if (text.empty()) return label + "\n";
  return Wrap(Printable(text), kLabelWidth, width).replace(0, kLabelWidth, PadRight(label, kLabelWidth));
}

std::string FormatReport(const v1::ScoreReport& report, size_t width) {
  width = std::max(width, kMinWidth);
  std::string text = absl::StrCat(Printable(report.model()), ", layers 0 to ", report.layers(), ", ",
                                  ExamplesSentence(report), "\n\n");
  for (const CurveGroup& group : GroupCurves(report)) text += FormatGroup(group, report, width);
  absl::StrAppend(&text, Wrap(kLegend, 0, width), "\n");
  text += FormatCorrelations(report, width);
  return text + FormatChoice(report, width);
}

}  // namespace midlayer::cli
