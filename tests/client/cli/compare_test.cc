// Comparing reports: what is paired with what, and what is printed.
#include "client/cli/compare.h"

#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/base/text_width.h"
#include "tests/client/cli/sample_report.h"
#include "tests/weights/test_files.h"

namespace midlayer::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

v1::MetricCurve Curve(const std::vector<double>& values) {
  v1::MetricCurve curve;
  for (size_t i = 0; i < values.size(); ++i) {
    curve.add_scores()->set_layer(static_cast<int>(i));
    curve.mutable_scores(static_cast<int>(i))->set_value(values[i]);
  }
  return curve;
}

TEST(PairByLayerTest, SameDepth) {
  const ValuePairs pairs = PairByLayer(Curve({1, kNaN, 3, 4}), 3, Curve({10, 20, 30}), 3);
  EXPECT_THAT(pairs.a, ElementsAre(1, 3));
  EXPECT_THAT(pairs.b, ElementsAre(10, 30));
}

TEST(PairByLayerTest, NearestRelativeDepth) {
  const v1::MetricCurve shallow = Curve({0, 1, 2}), deep = Curve({0, 10, 20, 30, 40, 50});
  // 0/2, 1/2, 2/2 against 0/5 … 5/5: 1/2 is between 2/5 and 3/5, the shallower one wins.
  const ValuePairs pairs = PairByLayer(shallow, 2, deep, 5);
  EXPECT_THAT(pairs.a, ElementsAre(0, 1, 2));
  EXPECT_THAT(pairs.b, ElementsAre(0, 20, 50));
  const ValuePairs turned = PairByLayer(deep, 5, shallow, 2);
  EXPECT_EQ(turned.a, pairs.b);
  EXPECT_EQ(turned.b, pairs.a);
  EXPECT_THAT(PairByLayer(Curve({1}), 0, Curve({2}), 0).b, ElementsAre(2));
  EXPECT_THAT(PairByLayer({}, 2, {}, 3).a, IsEmpty());
}

TEST(PairByExampleTest, ByPlaceInTheInput) {
  v1::MetricCurve a = Curve({0, 0}), b = Curve({0, 0});
  for (const int place : {0, 2, 3, 9}) a.add_example_indices(place);
  for (const int place : {2, 0, 4, 9}) b.add_example_indices(place);
  for (const float value : {1.0F, 2.0F, 3.0F, 4.0F}) {
    a.mutable_scores(1)->add_example_values(value);
    b.mutable_scores(0)->add_example_values(10 * value);
  }
  a.mutable_scores(1)->set_example_values(3, std::numeric_limits<float>::quiet_NaN());
  const ValuePairs pairs = PairByExample(a, 1, b, 0);
  EXPECT_THAT(pairs.a, ElementsAre(1, 2));
  EXPECT_THAT(pairs.b, ElementsAre(20, 10));
  EXPECT_THAT(PairByExample(a, 0, b, 0).a, IsEmpty());  // no values there
  EXPECT_THAT(PairByExample(a, 7, b, 0).a, IsEmpty());  // no such layer
}

class CompareTest : public testing::Test {
 protected:
  CompareTest() : report_(SampleReport()) {
    v1::MetricCurve& curve = *report_.mutable_curves(0);
    for (int i = 0; i < 20; ++i) curve.add_example_indices(i);
    for (v1::LayerScore& score : *curve.mutable_scores()) {
      for (int i = 0; i < 20; ++i) score.add_example_values(static_cast<float>(score.value() + 0.01 * i * i));
    }
    other_ = report_;
    for (v1::MetricCurve& other : *other_.mutable_curves()) {
      for (v1::LayerScore& score : *other.mutable_scores()) score.set_value(score.value() * 1.5);
    }
    for (int i = 0; i < 20; ++i) {
      float value = other_.curves(0).scores(4).example_values(i) + 0.1F * (i % 7);
      other_.mutable_curves(0)->mutable_scores(4)->set_example_values(i, value);
    }
  }

  int Compare(CompareOptions options) {
    const TempDir directory;
    const std::string a = directory.Write("a.json", ToJson(report_));
    const std::string b = directory.Write("b.json", ToJson(other_));
    options.paths = options.layers.empty() ? std::vector<std::string>{a, b} : std::vector<std::string>{a};
    return RunCompare(options, {.out = &out_, .err = &err_});
  }

  v1::ScoreReport report_;
  v1::ScoreReport other_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CompareTest, Json) {
  EXPECT_EQ(Compare({.json = true}), kExitOk) << err_.str();
  const auto rows = nlohmann::json::parse(out_.str());
  ASSERT_EQ(rows.size(), 15);
  EXPECT_EQ(rows[0]["metric"], "probe_accuracy");
  EXPECT_EQ(rows[0]["a"]["layer"], 4);
  EXPECT_EQ(rows[0]["a"]["value"], 0.8805);
  // scipy.stats.wilcoxon of 7 values that are all lower: p = 2 / 2^7.
  EXPECT_EQ(rows[0]["over_layers"]["pairs"], 7);
  EXPECT_DOUBLE_EQ(rows[0]["over_layers"]["p_value"], 0.015625);
  EXPECT_EQ(rows[0]["over_examples"]["pairs"], 20);
  EXPECT_LT(rows[0]["over_examples"]["p_value"], 0.001);
  EXPECT_TRUE(rows[1]["over_examples"].is_null());
}

TEST_F(CompareTest, Table) {
  EXPECT_EQ(Compare({}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(),
              HasSubstr("\nprobe_accuracy             mean             4    0.8805    4     1.321     0.0156 (7)"));
  out_.str("");
  EXPECT_EQ(Compare({.metric = "lidar"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\nlidar "));
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("\nprobe_accuracy ")));
  std::istringstream lines(out_.str());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(Width(line), 100) << line;
}

TEST_F(CompareTest, OtherDataIsNotPairedByExample) {
  other_.mutable_selection()->set_dataset_digest("another");
  EXPECT_EQ(Compare({.json = true}), kExitOk);
  EXPECT_TRUE(nlohmann::json::parse(out_.str())[0]["over_examples"].is_null());
}

TEST_F(CompareTest, TwoLayersOfOneReport) {
  EXPECT_EQ(Compare({.metric = "probe_accuracy", .layers = {3, 6}, .json = true}), kExitOk) << err_.str();
  const auto rows = nlohmann::json::parse(out_.str());
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0]["a"]["layer"], 3);
  EXPECT_EQ(rows[0]["b"]["layer"], 6);
  EXPECT_EQ(rows[0]["over_examples"]["pairs"], 20);
  EXPECT_TRUE(rows[0]["over_layers"].is_null());
}

TEST_F(CompareTest, Errors) {
  EXPECT_EQ(Compare({.metric = "none"}), kExitFailed);
  EXPECT_EQ(Compare({.layers = {3, 99}}), kExitFailed);
  EXPECT_EQ(err_.str(),
            "midlayer: nothing to compare: expected the metric none with the same pooling in each report\n"
            "midlayer: --layers: the report has no layer 99\n");
}

}  // namespace
}  // namespace midlayer::cli
