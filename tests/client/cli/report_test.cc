// Reports as text: numbers, sparklines, tables, sentences.
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/progress.h"
#include "client/cli/report_text.h"
#include "client/cli/report_words.h"
#include "client/cli/sparkline.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/text_width.h"
#include "tests/client/cli/sample_report.h"

namespace midlayer::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::MetricCurve Curve(const std::vector<double>& values) {
  v1::MetricCurve curve;
  for (const double value : values) {
    curve.add_scores()->set_value(value);
    curve.mutable_scores()->rbegin()->set_layer(curve.scores_size() - 1);
  }
  return curve;
}

TEST(NumberFormatTest, FourDigitsOfTheLargest) {
  const struct {
    std::vector<double> values;
    double value;
    const char* expected;
  } cases[] = {
      {{0.4123, 0.1}, 0.1, "0.1000"},
      {{7.43, 5.1}, 5.1, "5.100"},
      {{142.31, 98}, 98, "98.0"},
      {{123456, 3}, 3, "3"},
      {{0.0123, 0.001}, 0.001, "0.00100"},
      {{7.4310, 7.4315}, 7.4310, "7.43100"},  // close together: more digits
      {{1, 1}, 1, "1.000"},
      {{0, 0}, 0, "0.0000"},
      {{2e-5, 1e-5}, 2e-5, "2.000e-05"},
      {{3e9, 1}, 3e9, "3.000e+09"},
      {{-0.5, 0.25}, -0.5, "-0.5000"},
      {{kNaN, 0.5}, kNaN, "–"},
      {{kInfinity, 0.5}, kInfinity, "∞"},
      {{}, 0.25, "0.2500"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(NumberFormat(Curve(test.values))(test.value), test.expected) << testing::PrintToString(test.values);
  }
}

TEST(SparklineTest, Lines) {
  EXPECT_EQ(Sparkline(std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}, 80), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline(std::vector<double>{1, kNaN, 0, kInfinity}, 80), "█ ▁ ");
  EXPECT_EQ(Sparkline(std::vector<double>{2, 2, 2}, 80), "▄▄▄");
  EXPECT_EQ(Sparkline(std::vector<double>{0, 0, 1, 1, 2, 2}, 3), "▁▅█");
  EXPECT_EQ(Sparkline(std::vector<double>{0, 2, kNaN, 1}, 2), "▄▄");
  EXPECT_EQ(Sparkline({}, 5), "");
}

TEST(ProgressTest, Scoring) {
  v1::ScoreProgress progress;
  progress.set_stage("forward");
  progress.set_done(1200);
  EXPECT_EQ(FormatProgress(progress), "forward: 1,200 tokens");
  progress.set_total(3000);
  progress.set_remaining_seconds(6);
  EXPECT_EQ(FormatProgress(progress), "[########------------]  40%  forward: 1,200 of 3,000 tokens  0:06 left");
  progress.set_stage("metrics");
  progress.set_done(9000);
  EXPECT_EQ(FormatProgress(progress), "[####################] 100%  metrics: 9,000 of 3,000 layers  0:06 left");
}

TEST(ReportWordsTest, Sentences) {
  const v1::ScoreReport report = SampleReport();
  EXPECT_EQ(ChoiceSentence(report), "Layer 4 of 6, pooled by mean, for its probe_accuracy of 0.8805 ± 0.0103.");
  EXPECT_EQ(TiesSentence(report), "layers 4, 5 and 6 are as good within 2 standard errors of the difference");
  EXPECT_EQ(ExamplesSentence(report), "988 of 1,600 examples");
  EXPECT_EQ(SkippedSentence(report.skipped(0)), "10 for: fewer than 3 tokens (examples 17, 90, 204, 377, 411, …)");
  EXPECT_EQ(SkippedSentence(report.skipped(1)), "2 for: too long (examples 318, 706)");
  EXPECT_THAT(CostSentence(report.cost()), StartsWith("41.7 s (27.9 s in the model, "));
  EXPECT_THAT(CostSentence(report.cost()), HasSubstr("20,748 texts of 912,640 tokens; 393 MiB"));
  EXPECT_EQ(ChoiceSentence({}), "Layer 0 of 0.");
  EXPECT_EQ(ListOptions(report.options())[0], std::make_pair(std::string("metrics"), std::string("all")));
}

TEST(ReportWordsTest, Promotion) {
  v1::ScoreReport report = SampleReport();
  EXPECT_EQ(PromotionSentence(report), "To make it the default of Embed: midlayer selections promote 3f2a9c1b7d40");
  report.mutable_selection()->set_evidence(v1::EVIDENCE_SPECTRAL);
  EXPECT_THAT(PromotionSentence(report), HasSubstr("promote 3f2a9c1b7d40 --force"));
  report.mutable_selection()->set_promoted(true);
  EXPECT_THAT(PromotionSentence(report), StartsWith("It is what Embed uses"));
  report.mutable_selection()->set_promoted(false);
  report.mutable_options()->set_store(false);
  EXPECT_THAT(PromotionSentence(report), StartsWith("It was not stored"));
}

TEST(ReportTextTest, RowsOfTheSample) {
  const std::string text = FormatReport(SampleReport(), 100);
  EXPECT_THAT(text, StartsWith("all-MiniLM-L6-v2, layers 0 to 6, 988 of 1,600 examples\n\nTasks. "));
  EXPECT_THAT(text, HasSubstr("  layer   probe accuracy ↑    knn accuracy ↑          cosine ↑         euclidean ↑\n"));
  EXPECT_THAT(text, HasSubstr("    > 4    0.8805* ±0.0103   0.8619= ±0.0110   0.1041  ±0.0036   0.05200  ±0.00190\n"));
  EXPECT_THAT(text, HasSubstr("▁▄▅▆███"));
  EXPECT_THAT(text, HasSubstr("\nConfidence   medium ("));
  EXPECT_THAT(text, HasSubstr("\nSelection    3f2a9c1b7d40e85566c1a0f4b9d2e7788190aabbccddeeff0011223344556677\n"));
}

TEST(ReportTextTest, FitsEveryWidth) {
  for (const size_t width : {60, 80, 100, 200}) {
    for (const v1::ScoreReport& report : {SampleReport(), WaveReport(1, 3), WaveReport(81, 40), v1::ScoreReport()}) {
      std::istringstream lines(FormatReport(report, width));
      for (std::string line; std::getline(lines, line);) {
        // The selection's id is not broken: it is there to be copied.
        if (line.starts_with("Selection ")) continue;
        EXPECT_LE(Width(line), width) << line;
      }
    }
  }
}

TEST(ReportTextTest, PoolingsStandInTheHeadingWhereThereAreSeveral) {
  v1::ScoreReport report = SampleReport();
  EXPECT_THAT(FormatReport(report, 100), Not(HasSubstr("  mean  ")));
  report.mutable_curves(0)->set_pooling(v1::POOLING_CLS);
  EXPECT_THAT(FormatReport(report, 100), HasSubstr("              cls              mean"));
}

TEST(ReportTextTest, NothingOfAReportReachesTheTerminalRaw) {
  v1::ScoreReport report = SampleReport();
  for (std::string* text :
       {report.mutable_model(), report.mutable_notes(0), report.mutable_curves(0)->mutable_metric(),
        report.mutable_skipped(0)->mutable_reason(), report.mutable_selection()->mutable_id(),
        report.mutable_selection()->mutable_reason(), report.mutable_correlations(0)->mutable_metric(),
        report.mutable_selection()->mutable_metric()}) {
    *text = "\x1b[31mred\x07";
  }
  EXPECT_THAT(FormatReport(report, 100), Not(HasSubstr("\x1b")));
}

TEST(ReportFileTest, WhatIsNoReport) {
  const struct {
    const char* input;
    const char* expected;
  } cases[] = {{"", "expected a report"},    {"x", "expected a report"},
               {"[]", "expected a report"},  {"{}", "it has no curves"},
               {"{\"curves\":3}", "curves"}, {"{\"curves\":[{\"scores\":[{\"value\":\"x\"}]}]}", "value"}};
  for (const auto& test : cases) {
    std::istringstream in(test.input);
    const auto report = ReadReport("-", {.in = &in});
    ASSERT_FALSE(report.ok()) << test.input;
    EXPECT_THAT(std::string(report.status().message()), StartsWith("standard input: expected a report")) << test.input;
    EXPECT_THAT(std::string(report.status().message()), HasSubstr(test.expected)) << test.input;
  }
  std::istringstream newer(R"({"curves":[{"metric":"m","new_field":1,"scores":[{"layer":0,"value":"NaN"}]}]})");
  const auto report = ReadReport("-", {.in = &newer});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(std::isnan(report->curves(0).scores(0).value()));
}

}  // namespace
}  // namespace midlayer::cli
