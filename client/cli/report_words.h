// What the table and the page say of a report alike: its numbers, its marks, and its sentences. Pure functions. A
// report may come from a file: nothing here relies on it being whole.
#ifndef MIDLAYER_CLIENT_CLI_REPORT_WORDS_H_
#define MIDLAYER_CLIENT_CLI_REPORT_WORDS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

// How the numbers of one curve are written: all alike, so that they can be compared by eye.
class NumberFormat {
 public:
  // As many decimals as show four digits of the largest value, and more where the values are closer together than that.
  explicit NumberFormat(const v1::MetricCurve& curve);

  // "0.4123"; "1.234e-07" for curves far from 1; "–" for NaN.
  std::string operator()(double value) const;

 private:
  bool is_scientific_ = false;
  int decimals_ = 0;
};

// Curves of one kind of evidence.
struct CurveGroup {
  v1::Evidence evidence;
  std::string title;
  std::string about;      // one sentence on what the kind says
  std::string css_class;  // on the page
  std::vector<const v1::MetricCurve*> curves;
};

// The curves by evidence, the strongest first; groups without curves are left out.
std::vector<CurveGroup> GroupCurves(const v1::ScoreReport& report);

// All layers that any curve has, in order.
std::vector<int> LayersOf(const v1::ScoreReport& report);

// A layer's score; null where the curve has none.
const v1::LayerScore* ScoreAt(const v1::MetricCurve& curve, int layer);

// The curve by metric and pooling; null where there is none.
const v1::MetricCurve* FindCurve(const v1::ScoreReport& report, const std::string& metric, v1::Pooling pooling);

enum class Mark { kNone, kBest, kTie };
Mark MarkOf(const v1::LayerScore& score);

// Whether the curves were measured with more than one pooling, so that each has to say which.
bool HasSeveralPoolings(const v1::ScoreReport& report);

// "mean"; empty where the metric is one of tokens.
std::string PoolingOf(const v1::MetricCurve& curve);

// "lower is better", and what "theory" and "observed" say: "lower", "higher", "nothing known".
std::string DirectionUsed(const v1::MetricCurve& curve);
std::string DirectionName(v1::Direction direction);

// "Layer 4 of 6, pooled by mean, for its knn_accuracy of 0.8812 ± 0.0102."
std::string ChoiceSentence(const v1::ScoreReport& report);

// "high", and what that means.
std::string ConfidenceName(v1::Confidence confidence);
std::string ConfidenceMeaning(v1::Confidence confidence);
std::string EvidenceName(v1::Evidence evidence);

// "3", "3 and 4", "3, 4 and 6".
std::string ListLayers(const google::protobuf::RepeatedField<int32_t>& layers);
// "no other layer", or the layers that tie with the chosen one in a sentence.
std::string TiesSentence(const v1::ScoreReport& report);

// "1,000 of 1,600 examples".
std::string ExamplesSentence(const v1::ScoreReport& report);
// "2: too long (examples 17, 90, …)".
std::string SkippedSentence(const v1::SkippedExamples& skipped);
// "12.4 s: 8.1 s in the model, … "
std::string CostSentence(const v1::ScoreCost& cost);
// How to make the selection the default, or that it is; empty where there is nothing to promote.
std::string PromotionSentence(const v1::ScoreReport& report);

// The options that were used, as names and values.
std::vector<std::pair<std::string, std::string>> ListOptions(const v1::ScoreOptions& options);

// "12,345".
std::string WithCommas(uint64_t number);

// "2026-03-01 12:00 UTC"
std::string FormatTime(int64_t unix_seconds);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_REPORT_WORDS_H_
