#include "client/cli/report_words.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/json.h"
#include "client/cli/names.h"
#include "nlohmann/json.hpp"

namespace midlayer::cli {
namespace {

constexpr int kDigits = 4;            // of the largest value
constexpr int kMoreDigits = 2;        // at most so many more where values are close together
constexpr double kStepsOfRange = 50;  // the range of a curve is at least so many of its last digit
constexpr int kMaxDecimals = 6;
constexpr double kLargestPlain = 1e7;

constexpr size_t kIndicesShown = 5;

std::string Duration(double seconds) {
  if (seconds < 100) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (whole < 3600) return absl::StrFormat("%d min %d s", whole / 60, whole % 60);
  return absl::StrFormat("%d h %d min", whole / 3600, whole / 60 % 60);
}

std::string Bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
  return absl::StrFormat("%.*f %s", value < 10 && unit > 0 ? 1 : 0, value, kUnits[unit]);
}

// "POOLING_WEIGHTED_MEAN" -> "weighted_mean".
std::string PlainWord(std::string word) {
  for (const absl::string_view prefix : {"POOLING_", "STATE_", "METRIC_MODE_", "ENTROPY_NORMALIZATION_"}) {
    if (absl::StartsWith(word, prefix)) return absl::AsciiStrToLower(word.substr(prefix.size()));
  }
  return word;
}

std::string OptionValue(const nlohmann::json& value) {
  if (value.is_string()) return PlainWord(value.get<std::string>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (!value.is_array()) return value.dump();
  std::vector<std::string> parts;
  for (const auto& part : value) parts.push_back(OptionValue(part));
  return absl::StrJoin(parts, ", ");
}

bool IsNothing(const std::string& value) {
  return value.empty() || value == "no" || value == "0" || value == "0.0" || value == "unspecified";
}

}  // namespace

NumberFormat::NumberFormat(const v1::MetricCurve& curve) {
  double largest = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  for (const v1::LayerScore& score : curve.scores()) {
    if (!std::isfinite(score.value())) continue;
    largest = std::max(largest, std::abs(score.value()));
    low = std::min(low, score.value());
    high = std::max(high, score.value());
  }
  if (largest == 0) {
    decimals_ = kDigits;
    return;
  }
  const int wanted = kDigits - 1 - static_cast<int>(std::floor(std::log10(largest)));
  decimals_ = std::max(wanted, 0);
  if (high > low) {
    const int close = static_cast<int>(std::ceil(std::log10(kStepsOfRange / (high - low))));
    decimals_ = std::max(decimals_, std::min(close, decimals_ + kMoreDigits));
  }
  is_scientific_ = largest >= kLargestPlain || wanted > kMaxDecimals;
  decimals_ = is_scientific_ ? kDigits - 1 : std::min(decimals_, kMaxDecimals);
}

std::string NumberFormat::operator()(double value) const {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  return is_scientific_ ? absl::StrFormat("%.*e", decimals_, value) : absl::StrFormat("%.*f", decimals_, value);
}

std::vector<CurveGroup> GroupCurves(const v1::ScoreReport& report) {
  std::vector<CurveGroup> groups = {
      {v1::EVIDENCE_TASK,
       "Tasks",
       "What the examples ask for: labels, scored pairs, or passages to be found.",
       "task",
       {}},
      {v1::EVIDENCE_SELF_RETRIEVAL, "Self-retrieval", "Whether one half of a text finds the other.", "self", {}},
      {v1::EVIDENCE_SPECTRAL,
       "Geometry",
       "Entropies, ranks and curvature of the states alone; they know no task.",
       "geometry",
       {}},
      {v1::EVIDENCE_UNSPECIFIED, "Others", "Of a kind that this program does not know.", "other", {}}};
  for (const v1::MetricCurve& curve : report.curves()) {
    auto group = std::ranges::find(groups, curve.evidence(), &CurveGroup::evidence);
    if (group == groups.end()) group = groups.end() - 1;
    group->curves.push_back(&curve);
  }
  std::erase_if(groups, [](const CurveGroup& group) { return group.curves.empty(); });
  return groups;
}

std::vector<int> LayersOf(const v1::ScoreReport& report) {
  std::set<int> layers;
  for (const v1::MetricCurve& curve : report.curves()) {
    for (const v1::LayerScore& score : curve.scores()) layers.insert(score.layer());
  }
  return {layers.begin(), layers.end()};
}

const v1::LayerScore* ScoreAt(const v1::MetricCurve& curve, int layer) {
  for (const v1::LayerScore& score : curve.scores()) {
    if (score.layer() == layer) return &score;
  }
  return nullptr;
}

const v1::MetricCurve* FindCurve(const v1::ScoreReport& report, const std::string& metric, v1::Pooling pooling) {
  for (const v1::MetricCurve& curve : report.curves()) {
    if (curve.metric() == metric && curve.pooling() == pooling) return &curve;
  }
  return nullptr;
}

Mark MarkOf(const v1::LayerScore& score) {
  if (score.rank() == 1) return Mark::kBest;
  return score.ties_with_best() ? Mark::kTie : Mark::kNone;
}

bool HasSeveralPoolings(const v1::ScoreReport& report) {
  std::set<v1::Pooling> poolings;
  for (const v1::MetricCurve& curve : report.curves()) poolings.insert(curve.pooling());
  poolings.erase(v1::POOLING_UNSPECIFIED);
  return poolings.size() > 1;
}

std::string PoolingOf(const v1::MetricCurve& curve) {
  return curve.pooling() == v1::POOLING_UNSPECIFIED ? "" : PoolingName(curve.pooling());
}

std::string DirectionUsed(const v1::MetricCurve& curve) {
  return curve.higher_is_better() ? "higher is better" : "lower is better";
}

std::string DirectionName(v1::Direction direction) {
  if (direction == v1::DIRECTION_MIN) return "lower";
  return direction == v1::DIRECTION_MAX ? "higher" : "nothing known";
}

std::string ChoiceSentence(const v1::ScoreReport& report) {
  const v1::Selection& selection = report.selection();
  std::string sentence = absl::StrCat("Layer ", selection.layer(), " of ", report.layers());
  if (selection.pooling() != v1::POOLING_UNSPECIFIED) {
    absl::StrAppend(&sentence, ", pooled by ", PoolingName(selection.pooling()));
  }
  if (selection.metric().empty()) return sentence + ".";
  const v1::MetricCurve* curve = FindCurve(report, selection.metric(), selection.pooling());
  if (curve == nullptr) curve = FindCurve(report, selection.metric(), v1::POOLING_UNSPECIFIED);
  const v1::LayerScore* score = curve == nullptr ? nullptr : ScoreAt(*curve, selection.layer());
  const NumberFormat format(curve == nullptr ? v1::MetricCurve() : *curve);
  absl::StrAppend(&sentence, ", for its ", selection.metric(), " of ", format(selection.value()));
  if (score != nullptr && score->has_standard_error()) {
    absl::StrAppend(&sentence, " ± ", format(score->standard_error()));
  }
  return sentence + ".";
}

std::string ConfidenceName(v1::Confidence confidence) {
  switch (confidence) {
    case v1::CONFIDENCE_LOW:
      return "low";
    case v1::CONFIDENCE_MEDIUM:
      return "medium";
    case v1::CONFIDENCE_HIGH:
      return "high";
    default:
      return "unknown";
  }
}

std::string ConfidenceMeaning(v1::Confidence confidence) {
  switch (confidence) {
    case v1::CONFIDENCE_LOW:
      return "geometry alone, or many layers tie";
    case v1::CONFIDENCE_MEDIUM:
      return "self-retrieval on which at most neighbours tie, or a task on which layers tie that lie apart";
    case v1::CONFIDENCE_HIGH:
      return "a task on which this layer, or neighbours of it, clearly beats the others";
    default:
      return "not told";
  }
}

std::string EvidenceName(v1::Evidence evidence) {
  switch (evidence) {
    case v1::EVIDENCE_SPECTRAL:
      return "geometry";
    case v1::EVIDENCE_SELF_RETRIEVAL:
      return "self-retrieval";
    case v1::EVIDENCE_TASK:
      return "a task";
    default:
      return "none";
  }
}

std::string ListLayers(const google::protobuf::RepeatedField<int32_t>& layers) {
  if (layers.empty()) return "none";
  if (layers.size() == 1) return absl::StrCat(layers[0]);
  return absl::StrCat(absl::StrJoin(layers.begin(), layers.end() - 1, ", "), " and ", layers[layers.size() - 1]);
}

std::string TiesSentence(const v1::ScoreReport& report) {
  if (report.ties_size() < 2) return "none: no other layer is as good within 2 standard errors";
  return absl::StrCat("layers ", ListLayers(report.ties()), " are as good within 2 standard errors of the difference");
}

std::string ExamplesSentence(const v1::ScoreReport& report) {
  if (report.examples() == report.examples_received() || report.examples_received() == 0) {
    return absl::StrCat(WithCommas(report.examples()), " examples");
  }
  return absl::StrCat(WithCommas(report.examples()), " of ", WithCommas(report.examples_received()), " examples");
}

std::string SkippedSentence(const v1::SkippedExamples& skipped) {
  std::string sentence = absl::StrCat(WithCommas(skipped.count()), " for: ", skipped.reason());
  if (skipped.indices().empty()) return sentence;
  const size_t shown = std::min<size_t>(kIndicesShown, skipped.indices_size());
  absl::StrAppend(&sentence, " (", skipped.count() == 1 ? "example " : "examples ",
                  absl::StrJoin(skipped.indices().begin(), skipped.indices().begin() + static_cast<int>(shown), ", "),
                  shown < skipped.count() ? ", …)" : ")");
  return sentence;
}

std::string CostSentence(const v1::ScoreCost& cost) {
  return absl::StrCat(Duration(cost.total_seconds()), " (", Duration(cost.forward_seconds()), " in the model, ",
                      Duration(cost.accumulate_seconds()), " in metrics of texts, ", Duration(cost.finish_seconds()),
                      " in metrics of the set) for ", WithCommas(cost.texts()), " texts of ", WithCommas(cost.tokens()),
                      " tokens; ", Bytes(cost.peak_bytes()), " of memory at most");
}

std::string PromotionSentence(const v1::ScoreReport& report) {
  const v1::Selection& selection = report.selection();
  if (selection.id().empty()) return "";
  if (selection.promoted()) return "It is what Embed uses where a request names no layer.";
  if (report.options().has_store() && !report.options().store()) return "It was not stored, as asked.";
  const bool needs_force = selection.evidence() == v1::EVIDENCE_SPECTRAL;
  return absl::StrCat("To make it the default of Embed",
                      needs_force ? " (geometry alone is weak evidence, so it needs --force)" : "",
                      ": midlayer selections promote ", selection.id().substr(0, 12), needs_force ? " --force" : "");
}

std::vector<std::pair<std::string, std::string>> ListOptions(const v1::ScoreOptions& options) {
  std::vector<std::pair<std::string, std::string>> list;
  const auto json = nlohmann::ordered_json::parse(ToJson(options));
  for (const auto& [name, value] : json.items()) {
    const std::string text = OptionValue(value);
    if (!IsNothing(text)) list.emplace_back(name, text);
  }
  return list;
}

std::string WithCommas(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string FormatTime(int64_t unix_seconds) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixSeconds(unix_seconds), absl::UTCTimeZone());
}

}  // namespace midlayer::cli
