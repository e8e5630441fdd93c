// The page: whole, closed, inert whatever the report says; and the charts on it.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "client/cli/html_report.h"
#include "client/cli/svg_chart.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli/sample_report.h"

namespace midlayer::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// What is not closed, or closed without being open; empty where all elements nest.
std::string BadNesting(const std::string& html) {
  const std::vector<std::string> kVoid = {"meta", "wbr", "br", "!DOCTYPE"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    const bool closes = html[at + 1] == '/';
    const size_t name_begin = at + (closes ? 2 : 1);
    const std::string name = html.substr(name_begin, html.find_first_of(" >/", name_begin) - name_begin);
    if (closes) {
      if (open.empty() || open.back() != name) return "</" + name + "> in <" + (open.empty() ? "" : open.back()) + ">";
      open.pop_back();
    } else if (html[end - 1] != '/' && std::ranges::find(kVoid, name) == kVoid.end()) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, at) - 1;
    }
  }
  return open.empty() ? "" : "<" + open.back() + ">";
}

TEST(HtmlReportTest, TheSample) {
  const std::string html = FormatHtml(SampleReport());
  EXPECT_EQ(BadNesting(html), "");
  EXPECT_EQ(Count(html, "<figure"), 15);
  EXPECT_EQ(Count(html, "<line class=\"chosen\""), 15 + 1);  // and in the legend
  EXPECT_THAT(html,
              HasSubstr("<h1><em>Layer 4</em> of 6, pooled by mean, for its probe_accuracy of 0.8805 ± 0.0103.</h1>"));
  EXPECT_THAT(html, HasSubstr("<b>↓ lower is better</b><br>theory: higher; observed: lower"));
  EXPECT_THAT(html, HasSubstr("layer 4: 0.8805 ± 0.0103, best"));
  EXPECT_THAT(html, HasSubstr("layer 0: not defined"));
  EXPECT_THAT(html, HasSubstr("<td class=\"tie\" style=\"--g:0.99\">0.8792 <small>±0.0103</small></td>"));
}

TEST(HtmlReportTest, LoadsNothing) {
  const std::string html = FormatHtml(SampleReport());
  for (const char* part : {"http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "eval(", "innerHTML"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
}

TEST(HtmlReportTest, AnyShapeOfReport) {
  for (const v1::ScoreReport& report :
       {WaveReport(1, 1), WaveReport(1, 40), WaveReport(81, 40), WaveReport(2, 3), v1::ScoreReport()}) {
    const std::string html = FormatHtml(report);
    EXPECT_EQ(BadNesting(html), "");
    EXPECT_EQ(Count(html, "<figure"), report.curves_size());
    for (const char* number : {"nan", "inf", "-0\"", "-0<"}) EXPECT_THAT(html, Not(HasSubstr(number)));
  }
  EXPECT_THAT(FormatHtml(WaveReport(7, 2)), HasSubstr("not defined for any layer"));
}

// Sets every string of a message, however deep.
void FillStrings(google::protobuf::Message* message, const std::string& text) {
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const auto* field = message->GetDescriptor()->field(i);
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
      if (field->is_repeated()) {
        reflection->AddString(message, field, text);
      } else {
        reflection->SetString(message, field, text);
      }
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) FillStrings(reflection->MutableMessage(message, field), text);
      for (int k = 0; field->is_repeated() && k < reflection->FieldSize(*message, field); ++k) {
        FillStrings(reflection->MutableRepeatedMessage(message, field, k), text);
      }
    }
  }
}

TEST(HtmlReportTest, WordsOfTheReportAreNeverMarkup) {
  v1::ScoreReport report = SampleReport();
  FillStrings(&report, "</title></style><script>alert(1)</script>\"' onload=x <img>&");
  const std::string html = FormatHtml(report);
  EXPECT_EQ(BadNesting(html), "");
  EXPECT_EQ(Count(html, "<script"), 1);
  EXPECT_EQ(Count(html, "<img"), 0);
  EXPECT_EQ(Count(html, "</title>"), 1);
  EXPECT_THAT(html, Not(HasSubstr("\"' onload")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
}

TEST(SvgChartTest, GapsSplitTheLine) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = DrawChart(
      {.points = {{0, 1, 0.1}, {1, 2, 0.1, Mark::kTie}, {2, nan}, {3, 4, {}, Mark::kBest}}, .chosen_layer = 1});
  EXPECT_EQ(Count(svg, "<polyline"), 2);
  EXPECT_EQ(Count(svg, "<polygon"), 1);  // the second run has no errors
  EXPECT_EQ(Count(svg, "<circle"), 3);
  EXPECT_EQ(Count(svg, "class=\"point best\" data-i=\"3\""), 1);
  EXPECT_EQ(Count(svg, "class=\"point tie\" data-i=\"1\""), 1);
  EXPECT_EQ(Count(svg, "class=\"chosen\""), 1);
}

TEST(SvgChartTest, PlacesOfPoints) {
  // Low values are at the bottom, the first layer at the left; without a range all is in the middle.
  const std::string svg = DrawChart({.points = {{0, 0}, {10, 1}}});
  EXPECT_THAT(svg, HasSubstr("data-x=\"46.0 310.0 \""));
  EXPECT_THAT(svg, HasSubstr("<polyline class=\"line\" points=\"46.0,150.3 310.0,21.7 \"/>"));
  EXPECT_THAT(DrawChart({.points = {{3, 5}}}), HasSubstr("cx=\"178.0\" cy=\"86.0\""));
  EXPECT_THAT(DrawChart({.points = {{0, 1}, {1, 1}}, .chosen_layer = 7}), Not(HasSubstr("chosen")));
}

TEST(SvgChartTest, Ticks) {
  EXPECT_THAT(Ticks(0, 1, 5), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(Ticks(0, 6, 7), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Ticks(0, 80, 7), ElementsAre(0, 20, 40, 60, 80));
  EXPECT_THAT(Ticks(-3, 4, 5), ElementsAre(-2, 0, 2, 4));
  EXPECT_THAT(Ticks(5, 5, 5), ElementsAre(5));
  for (const double low : {-1e9, -0.731, 0.0, 1e-7, 3.14}) {
    for (const double range : {1e-6, 0.013, 1.0, 77.7, 1e12}) {
      const std::vector<double> ticks = Ticks(low, low + range, 5);
      EXPECT_LE(ticks.size(), 5) << low << " " << range;
      EXPECT_GE(ticks.size(), 2) << low << " " << range;
      EXPECT_TRUE(std::ranges::is_sorted(ticks));
    }
  }
}

}  // namespace
}  // namespace midlayer::cli
