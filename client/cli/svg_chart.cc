#include "client/cli/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace midlayer::cli {
namespace {

constexpr double kWidth = 320;
constexpr double kHeight = 180;
constexpr double kLeft = 46;
constexpr double kRight = 10;
constexpr double kTop = 14;
constexpr double kBottom = 22;
constexpr int kMostValueTicks = 5;
constexpr size_t kManyPoints = 40;  // from here on only marked points get a circle one can see

// Short enough for the axis: "0.85", "1,200", "2e-05".
std::string TickLabel(double value, double step) {
  const double size = std::max(std::abs(value), step);
  if (size >= 1e5 || step < 1e-4) return absl::StrFormat("%.3g", value);
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  return absl::StrFormat("%.*f", decimals, value == 0 ? 0.0 : value);
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    for (const ChartPoint& point : chart.points) {
      if (!std::isfinite(point.value)) continue;
      low_ = std::min(low_, point.value - Error(point));
      high_ = std::max(high_, point.value + Error(point));
    }
    if (IsEmpty()) return;
    const double room = high_ > low_ ? 0.06 * (high_ - low_) : std::max(std::abs(high_) * 0.1, 1e-9);
    low_ -= room;
    high_ += room;
    first_layer_ = chart.points.front().layer;
    last_layer_ = chart.points.back().layer;
  }

  std::string Draw() {
    absl::StrAppend(&svg_, "<svg class=\"chart\" viewBox=\"0 0 320 180\" role=\"img\" aria-label=\"",
                    EscapeHtml(chart_.title), "\" data-x=\"");
    for (const ChartPoint& point : chart_.points) absl::StrAppendFormat(&svg_, "%.1f ", X(point.layer));
    svg_ += "\">";
    if (IsEmpty()) {
      return absl::StrCat(svg_, "<text class=\"empty\" x=\"160\" y=\"94\">not defined for any layer</text></svg>");
    }
    DrawValueAxis();
    DrawLayerAxis();
    DrawChosen();
    DrawRuns();
    absl::StrAppendFormat(&svg_, "<line class=\"cursor\" y1=\"%g\" y2=\"%g\" x1=\"0\" x2=\"0\"/>", kTop,
                          kHeight - kBottom);
    DrawPoints();
    return svg_ + "</svg>";
  }

 private:
  static double Error(const ChartPoint& point) {
    const double error = point.standard_error.value_or(0);
    return std::isfinite(error) ? error : 0;
  }

  bool IsEmpty() const { return low_ > high_; }

  double X(int layer) const {
    if (last_layer_ == first_layer_) return (kLeft + kWidth - kRight) / 2;
    return kLeft + (kWidth - kLeft - kRight) * (layer - first_layer_) / (last_layer_ - first_layer_);
  }

  double Y(double value) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * (value - low_) / (high_ - low_);
  }

  void DrawValueAxis() {
    const std::vector<double> ticks = Ticks(low_, high_, kMostValueTicks);
    const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : std::abs(ticks[0]);
    for (const double tick : ticks) {
      absl::StrAppendFormat(&svg_, "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>", kLeft,
                            kWidth - kRight, Y(tick), Y(tick));
      absl::StrAppendFormat(&svg_, "<text class=\"tick value\" x=\"%g\" y=\"%.1f\">%s</text>", kLeft - 6, Y(tick) + 3.5,
                            TickLabel(tick, step));
    }
  }

  void DrawLayerAxis() {
    const int most = last_layer_ - first_layer_ <= 12 ? 13 : 7;
    for (const double tick : Ticks(first_layer_, last_layer_, most)) {
      if (tick != std::floor(tick)) continue;
      absl::StrAppendFormat(&svg_, "<text class=\"tick\" x=\"%.1f\" y=\"%g\">%g</text>", X(static_cast<int>(tick)),
                            kHeight - 6, tick);
    }
  }

  void DrawChosen() {
    if (!chart_.chosen_layer.has_value()) return;
    const int layer = *chart_.chosen_layer;
    if (layer < first_layer_ || layer > last_layer_) return;
    absl::StrAppendFormat(&svg_, "<line class=\"chosen\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>", X(layer),
                          X(layer), kTop, kHeight - kBottom);
  }

  // Line and band, one for each run of layers without a gap.
  void DrawRuns() {
    const auto& points = chart_.points;
    for (size_t first = 0; first < points.size();) {
      size_t last = first;
      while (last < points.size() && std::isfinite(points[last].value)) ++last;
      if (last > first) DrawRun(first, last);
      first = last + 1;
    }
  }

  void DrawRun(size_t first, size_t last) {
    std::string line, upper, lower;
    bool has_band = false;
    for (size_t i = first; i < last; ++i) {
      const ChartPoint& point = chart_.points[i];
      const double x = X(point.layer);
      has_band |= point.standard_error.has_value();
      absl::StrAppendFormat(&line, "%.1f,%.1f ", x, Y(point.value));
      absl::StrAppendFormat(&upper, "%.1f,%.1f ", x, Y(point.value + Error(point)));
      lower.insert(0, absl::StrFormat("%.1f,%.1f ", x, Y(point.value - Error(point))));
    }
    if (has_band && last == first + 1) {
      DrawWhisker(chart_.points[first]);
    } else if (has_band) {
      absl::StrAppend(&svg_, "<polygon class=\"band\" points=\"", upper, lower, "\"/>");
    }
    absl::StrAppend(&svg_, "<polyline class=\"line\" points=\"", line, "\"/>");
  }

  // The error of a point that has no neighbours, and so no band.
  void DrawWhisker(const ChartPoint& point) {
    absl::StrAppendFormat(&svg_, "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                          X(point.layer), X(point.layer), Y(point.value - Error(point)), Y(point.value + Error(point)));
  }

  void DrawPoints() {
    for (size_t i = 0; i < chart_.points.size(); ++i) {
      const ChartPoint& point = chart_.points[i];
      if (!std::isfinite(point.value)) continue;
      const bool is_small = point.mark == Mark::kNone;
      const char* name = point.mark == Mark::kBest ? " best" : point.mark == Mark::kTie ? " tie" : "";
      const double radius = point.mark == Mark::kBest ? 4.5 : point.mark == Mark::kTie ? 3.6 : 2.8;
      const bool is_hidden = is_small && chart_.points.size() > kManyPoints;
      absl::StrAppendFormat(&svg_, "<circle class=\"point%s\" data-i=\"%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"/>", name,
                            i, X(point.layer), Y(point.value), is_hidden ? 0.0 : radius);
    }
  }

  const Chart& chart_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  int first_layer_ = 0;
  int last_layer_ = 0;
  std::string svg_;
};

}  // namespace

std::vector<double> Ticks(double low, double high, int most) {
  if (high <= low) return {low};
  const auto count = [&](double step) { return std::floor(high / step + 1e-9) - std::ceil(low / step - 1e-9) + 1; };
  double unit = std::pow(10, std::floor(std::log10((high - low) / most)));
  double step = unit;
  while (count(step) > most) {
    step = step < 1.5 * unit ? 2 * unit : step < 3 * unit ? 5 * unit : 10 * unit;
    if (step > 7 * unit) unit = step;
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i < count(step); ++i) ticks.push_back((first + i) * step + 0.0);  // + 0.0: no negative zero
  return ticks;
}

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string DrawChart(const Chart& chart) { return Drawing(chart).Draw(); }

}  // namespace midlayer::cli
