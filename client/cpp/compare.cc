#include "client/cpp/compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cpp/connection.h"
#include "client/cpp/json.h"
#include "client/cpp/report_words.h"
#include "nlohmann/json.hpp"
#include "server/base/status.h"
#include "server/base/text_width.h"
#include "server/statistics/wilcoxon.h"

namespace midlayer::cli {
namespace {

constexpr size_t kNameWidth = 30;
constexpr size_t kPoolingWidth = 13;
constexpr size_t kSideWidth = 16;
constexpr size_t kTestWidth = 14;

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
  return absl::StrFormat("%3d  %s", side.layer, PadLeft(NumberFormat(*side.curve)(ValueOf(side)), 9));
}

// "A  all-MiniLM-L6-v2: layer 4, pooled by mean, …".
std::string FormatHead(char name, const v1::ScoreReport& report) {
  return absl::StrCat(std::string(1, name), "  ", Printable(report.model()), ", ", ExamplesSentence(report),
                      ", chosen: ", Printable(ChoiceSentence(report)), "\n");
}

std::string FormatTable(const std::vector<Comparison>& rows, const CompareOptions& options) {
  const bool has_layers_test = options.layers.empty();
  std::string text = FormatHead('A', *rows[0].a.report);
  if (has_layers_test) text += FormatHead('B', *rows[0].b.report);
  absl::StrAppend(&text, "\n", PadRight("", kNameWidth + 1 + kPoolingWidth), PadLeft("A: layer, value", kSideWidth),
                  PadLeft("B: layer, value", kSideWidth + 1));
  if (has_layers_test) text += PadLeft("p over layers", kTestWidth + 2);
  absl::StrAppend(&text, PadLeft("p over examples", kTestWidth + 3), "\n");
  bool has_examples = false;
  for (const Comparison& row : rows) {
    absl::StrAppend(&text, PadRight(Cut(Printable(row.a.curve->metric()), kNameWidth), kNameWidth), " ",
                    PadRight(PoolingOf(*row.a.curve), kPoolingWidth), PadLeft(FormatSide(row.a), kSideWidth),
                    PadLeft(FormatSide(row.b), kSideWidth + 1));
    if (has_layers_test) text += PadLeft(FormatTest(row.layers), kTestWidth + 2);
    absl::StrAppend(&text, PadLeft(FormatTest(row.examples), kTestWidth + 3), "\n");
    has_examples |= row.examples.has_value();
  }
  text += "\np: Wilcoxon's signed-rank test, two-sided; in brackets the number of pairs.\n";
  if (!has_examples) {
    text += "Over examples only where reports are of the same data and made with midlayer score --example-values.\n";
  }
  return text;
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
    const std::string what = options.metric.empty() ? "no metric" : absl::StrCat("not the metric ", options.metric);
    return absl::NotFoundError(absl::StrCat("nothing to compare: the reports share ", what));
  }
  *console.out << (options.json ? FormatJson(rows) : FormatTable(rows, options)) << std::flush;
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
