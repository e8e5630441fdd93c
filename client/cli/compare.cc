#include "client/cli/compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/connection.h"
#include "client/cli/json.h"
#include "client/cli/report_text.h"
#include "client/cli/report_words.h"
#include "nlohmann/json.hpp"
#include "server/base/help_formatter.h"
#include "server/base/status.h"
#include "server/base/text_width.h"
#include "server/statistics/wilcoxon.h"

namespace midlayer::cli {
namespace {

// Together with the gaps at most 100 columns.
constexpr size_t kNameWidth = 26;
constexpr size_t kPoolingWidth = 13;
constexpr size_t kSideWidth = 13;
constexpr size_t kTestWidth = 13;
constexpr absl::string_view kGap = "  ";

struct Test {
  size_t pairs = 0;
  WilcoxonResult result = {};
};

// One side of a comparison: a curve at one of its layers.
struct Side {
  const v1::ScoreReport* report;
  const v1::MetricCurve* curve;
  int layer;
};

struct Comparison {
  Side a;
  Side b;
  std::optional<Test> layers;    // over the layers; not for two layers of one report
  std::optional<Test> examples;  // over the examples, at the two layers
};

std::optional<Test> RunTest(const ValuePairs& pairs) {
  if (pairs.a.empty()) return std::nullopt;
  return Test{pairs.a.size(), WilcoxonSignedRank(pairs.a, pairs.b)};
}

bool HaveSameData(const v1::ScoreReport& a, const v1::ScoreReport& b) {
  return a.selection().dataset_digest() == b.selection().dataset_digest() && !a.selection().dataset_digest().empty();
}

absl::StatusOr<std::vector<Comparison>> CompareLayers(const v1::ScoreReport& report, const CompareOptions& options) {
  std::vector<Comparison> rows;
  for (const v1::MetricCurve& curve : report.curves()) {
    if (!options.metric.empty() && curve.metric() != options.metric) continue;
    for (const int layer : options.layers) {
      if (ScoreAt(curve, layer) == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("--layers: the report has no layer ", layer));
      }
    }
    Comparison row = {{&report, &curve, options.layers[0]}, {&report, &curve, options.layers[1]}};
    row.examples = RunTest(PairByExample(curve, row.a.layer, curve, row.b.layer));
    rows.push_back(row);
  }
  return rows;
}

std::vector<Comparison> CompareReports(const v1::ScoreReport& a, const v1::ScoreReport& b, const std::string& metric) {
  std::vector<Comparison> rows;
  for (const v1::MetricCurve& curve : a.curves()) {
    const v1::MetricCurve* other = FindCurve(b, curve.metric(), curve.pooling());
    if (other == nullptr || (!metric.empty() && curve.metric() != metric)) continue;
    Comparison row = {{&a, &curve, curve.best_layer()}, {&b, other, other->best_layer()}};
    row.layers = RunTest(PairByLayer(curve, a.layers(), *other, b.layers()));
    if (HaveSameData(a, b)) row.examples = RunTest(PairByExample(curve, row.a.layer, *other, row.b.layer));
    rows.push_back(row);
  }
  return rows;
}

double ValueOf(const Side& side) {
  const v1::LayerScore* score = ScoreAt(*side.curve, side.layer);
  return score == nullptr ? NAN : score->value();
}

std::string FormatTest(const std::optional<Test>& test) {
  if (!test.has_value()) return "–";
  const double p = test->result.p_value;
  const std::string number = std::isnan(p) ? "–" : p < 1e-4 ? "<0.0001" : absl::StrFormat("%.4f", p);
  return absl::StrCat(number, " (", test->pairs, ")");
}

std::string FormatSide(const Side& side) {
  return absl::StrCat(PadLeft(absl::StrCat(side.layer), 3), " ",
                      PadLeft(NumberFormat(*side.curve)(ValueOf(side)), kSideWidth - 4));
}

std::string FormatHead(const std::string& name, const v1::ScoreReport& report, size_t width) {
  return LabelledBlock(name, absl::StrCat(report.model(), ", ", ExamplesSentence(report)), width) +
         LabelledBlock("", ChoiceSentence(report), width);
}

std::string FormatTable(const std::vector<Comparison>& rows, const CompareOptions& options, size_t width) {
  const bool has_layers_test = options.layers.empty();
  std::string text = FormatHead("A", *rows[0].a.report, width);
  if (has_layers_test) text += FormatHead("B", *rows[0].b.report, width);
  absl::StrAppend(&text, "\n", PadRight("metric", kNameWidth), " ", PadRight("pooling", kPoolingWidth), kGap,
                  PadLeft("A layer value", kSideWidth), kGap, PadLeft("B layer value", kSideWidth));
  if (has_layers_test) absl::StrAppend(&text, kGap, PadLeft("p, layers", kTestWidth));
  absl::StrAppend(&text, kGap, PadLeft("p, examples", kTestWidth), "\n");
  bool has_examples = false;
  for (const Comparison& row : rows) {
    absl::StrAppend(&text, PadRight(Cut(Printable(row.a.curve->metric()), kNameWidth), kNameWidth), " ",
                    PadRight(PoolingOf(*row.a.curve), kPoolingWidth), kGap, FormatSide(row.a), kGap, FormatSide(row.b));
    if (has_layers_test) absl::StrAppend(&text, kGap, PadLeft(FormatTest(row.layers), kTestWidth));
    absl::StrAppend(&text, kGap, PadLeft(FormatTest(row.examples), kTestWidth), "\n");
    has_examples |= row.examples.has_value();
  }
  text +=
      "\n" + Wrap(
                 "p: Wilcoxon's signed-rank test, two-sided, over the layers' values and over those of the examples; "
                 "in brackets the number of pairs.",
                 0, width);
  if (has_examples) return text;
  return text +
         Wrap("Over examples only where reports are of the same data and were made with --example-values.", 0, width);
}

nlohmann::ordered_json JsonOfSide(const Side& side) {
  return {{"model", side.report->model()}, {"layer", side.layer}, {"value", ValueOf(side)}};
}

nlohmann::ordered_json JsonOfTest(const std::optional<Test>& test) {
  if (!test.has_value()) return nullptr;
  return {{"pairs", test->pairs}, {"statistic", test->result.statistic}, {"p_value", test->result.p_value}};
}

// A list of objects; what is not a number is null.
std::string FormatJson(const std::vector<Comparison>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Comparison& row : rows) {
    list.push_back({{"metric", row.a.curve->metric()},
                    {"pooling", PoolingOf(*row.a.curve)},
                    {"higher_is_better", row.a.curve->higher_is_better()},
                    {"a", JsonOfSide(row.a)},
                    {"b", JsonOfSide(row.b)},
                    {"over_layers", JsonOfTest(row.layers)},
                    {"over_examples", JsonOfTest(row.examples)}});
  }
  return list.dump(2) + "\n";
}

absl::Status Compare(const CompareOptions& options, const Console& console) {
  std::vector<v1::ScoreReport> reports;
  for (const std::string& path : options.paths) {
    MIDLAYER_ASSIGN_OR_RETURN(reports.emplace_back(), ReadReport(path, console));
  }
  std::vector<Comparison> rows;
  if (options.layers.empty()) {
    rows = CompareReports(reports.at(0), reports.at(1), options.metric);
  } else {
    MIDLAYER_ASSIGN_OR_RETURN(rows, CompareLayers(reports.at(0), options));
  }
  if (rows.empty()) {
    const std::string what = options.metric.empty() ? "a metric" : absl::StrCat("the metric ", options.metric);
    return absl::NotFoundError(
        absl::StrCat("nothing to compare: expected ", what, " with the same pooling in each report"));
  }
  *console.out << (options.json ? FormatJson(rows) : FormatTable(rows, options, console.width)) << std::flush;
  return console.out->good() ? absl::OkStatus() : absl::UnknownError("cannot write the output");
}

void AddPair(double a, double b, ValuePairs* pairs) {
  if (std::isnan(a) || std::isnan(b)) return;
  pairs->a.push_back(a);
  pairs->b.push_back(b);
}

// The score of `curve` whose relative depth is nearest to `depth`, the shallower one of two.
const v1::LayerScore* Nearest(const v1::MetricCurve& curve, int blocks, double depth) {
  const v1::LayerScore* nearest = nullptr;
  double distance = 0;
  for (const v1::LayerScore& score : curve.scores()) {
    const double here = std::abs(static_cast<double>(score.layer()) / blocks - depth);
    if (nearest != nullptr && here >= distance) continue;
    nearest = &score;
    distance = here;
  }
  return nearest;
}

}  // namespace

ValuePairs PairByLayer(const v1::MetricCurve& a, int blocks_a, const v1::MetricCurve& b, int blocks_b) {
  ValuePairs pairs;
  if (blocks_a > blocks_b) {
    pairs = PairByLayer(b, blocks_b, a, blocks_a);
    std::swap(pairs.a, pairs.b);
    return pairs;
  }
  for (const v1::LayerScore& score : a.scores()) {
    const double depth = static_cast<double>(score.layer()) / std::max(blocks_a, 1);
    const v1::LayerScore* other =
        blocks_a == blocks_b ? ScoreAt(b, score.layer()) : Nearest(b, std::max(blocks_b, 1), depth);
    if (other != nullptr) AddPair(score.value(), other->value(), &pairs);
  }
  return pairs;
}

ValuePairs PairByExample(const v1::MetricCurve& a, int layer_a, const v1::MetricCurve& b, int layer_b) {
  ValuePairs pairs;
  const v1::LayerScore* score_a = ScoreAt(a, layer_a);
  const v1::LayerScore* score_b = ScoreAt(b, layer_b);
  if (score_a == nullptr || score_b == nullptr) return pairs;
  std::map<uint64_t, double> values_b;
  const int size_b = std::min(score_b->example_values_size(), b.example_indices_size());
  for (int i = 0; i < size_b; ++i) values_b[b.example_indices(i)] = score_b->example_values(i);
  const int size_a = std::min(score_a->example_values_size(), a.example_indices_size());
  for (int i = 0; i < size_a; ++i) {
    const auto found = values_b.find(a.example_indices(i));
    if (found != values_b.end()) AddPair(score_a->example_values(i), found->second, &pairs);
  }
  return pairs;
}

int RunCompare(const CompareOptions& options, const Console& console) {
  const absl::Status status = Compare(options, console);
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

}  // namespace midlayer::cli
