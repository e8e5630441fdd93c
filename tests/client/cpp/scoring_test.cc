// ScoreLayers and selections, against a server that remembers what it was asked.
#include <stop_token>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "midlayer/client.h"
#include "tests/client/cpp/scripted_server.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;

class ScoringTest : public testing::Test {
 protected:
  ScriptedServer server_;
  Client client_{server_.target()};
};

v1::ScoreReport SampleReport() {
  v1::ScoreReport report;
  report.mutable_selection()->set_layer(4);
  for (const v1::Pooling pooling : {v1::POOLING_CLS, v1::POOLING_MEAN}) {
    v1::MetricCurve& curve = *report.add_curves();
    curve.set_metric("pair_spearman");
    curve.set_pooling(pooling);
  }
  return report;
}

TEST_F(ScoringTest, ExamplesGoOutInOrderAndProgressAndTheReportComeBack) {
  server_.scoring().set_report(SampleReport());
  std::vector<Example> examples;
  for (int i = 0; i < 1000; ++i) examples.push_back({.text = std::to_string(i)});
  examples[1] = {.text = "1", .label = "l", .paired_text = "p", .score = 0.5};
  examples[2] = {.text = "2", .id = "two", .relevant_ids = {"a", "b"}, .passage = true};
  std::vector<uint64_t> done;
  const absl::StatusOr<v1::ScoreReport> report =
      client_.ScoreLayers(examples, {.metrics = {"pair_spearman"}, .store = false, .expected_current = "none"},
                          [&](const v1::ScoreProgress& progress) { done.push_back(progress.done()); });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->selection().layer(), 4);
  EXPECT_THAT(done, ElementsAre(500, 1000));

  const cli::FakeScoring::Call asked = server_.scoring().call();
  ASSERT_EQ(asked.examples.size(), 1000);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(asked.examples[i].text(), std::to_string(i));
  EXPECT_FALSE(asked.examples[0].has_score());
  EXPECT_EQ(asked.examples[1].paired_text(), "p");
  EXPECT_EQ(asked.examples[1].score(), 0.5);
  EXPECT_THAT(asked.examples[2].relevant_ids(), ElementsAre("a", "b"));
  EXPECT_TRUE(asked.examples[2].passage());
  EXPECT_THAT(asked.options.metrics(), ElementsAre("pair_spearman"));
  EXPECT_TRUE(asked.options.has_store() && !asked.options.store());
  EXPECT_TRUE(asked.options.has_expected_current_id() && asked.options.expected_current_id().empty());
}

TEST_F(ScoringTest, ACurveIsFoundByMetricAndPooling) {
  const v1::ScoreReport report = SampleReport();
  EXPECT_EQ(FindCurve(report, "pair_spearman"), &report.curves(0));
  EXPECT_EQ(FindCurve(report, "pair_spearman", Pooling::kMean), &report.curves(1));
  EXPECT_EQ(FindCurve(report, "pair_spearman", Pooling::kMax), nullptr);
  EXPECT_EQ(FindCurve(report, "curvature"), nullptr);
}

TEST_F(ScoringTest, TheServersRefusalEndsTheSendingToo) {
  std::vector<Example> examples(100'000, Example{.text = "text"});
  examples[1].text = "bad";
  EXPECT_EQ(client_.ScoreLayers(examples).status(),
            absl::InvalidArgumentError("examples[1].text: expected good, found bad"));
}

TEST_F(ScoringTest, WhatIsNotUtf8IsNamed) {
  EXPECT_EQ(client_.ScoreLayers({{.text = "a"}, {.text = "b", .label = "\xFF"}}).status(),
            absl::InvalidArgumentError("examples[1].label: expected UTF-8, found a byte that is none at offset 0"));
}

TEST_F(ScoringTest, NoReportIsInternal) {
  EXPECT_EQ(client_.ScoreLayers({{.text = "nothing"}}).status(), absl::InternalError("the server sent no report"));
}

TEST_F(ScoringTest, TheCallerStopsARun) {
  std::stop_source stop;
  server_.scoring().set_report(SampleReport());
  const absl::Status status =
      client_
          .ScoreLayers({{.text = "a"}}, {}, [&](const v1::ScoreProgress&) { stop.request_stop(); },
                       {.stop = stop.get_token()})
          .status();
  // Where all answers are here already, there is nothing left to stop.
  EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
  EXPECT_EQ(client_.ScoreLayers({{.text = "slow"}}, {}, {}, {.stop = stop.get_token()}).status(),
            absl::CancelledError("stopped by the caller"));
}

TEST_F(ScoringTest, SelectionsAreListedShownPromotedAndDeleted) {
  for (const char* id : {"aa", "bb"}) {
    v1::Selection& selection = server_.selections().selections.emplace_back();
    selection.set_id(id);
  }
  server_.selections().report = SampleReport();
  const Selections selections = client_.selections();
  const absl::StatusOr<std::vector<v1::Selection>> all = selections.List();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2);
  EXPECT_EQ((*all)[1].id(), "bb");
  EXPECT_EQ(selections.Get("bb")->report().curves_size(), 2);
  EXPECT_EQ(selections.Get("cc").status(), absl::NotFoundError("id: no such selection: cc"));

  EXPECT_EQ(selections.Promote("aa")->selection().id(), "aa");
  EXPECT_FALSE(server_.selections().promotion.has_expected_current_id());
  const auto promoted = selections.Promote("bb", {.expected_current = "aa", .force = true});
  EXPECT_EQ(promoted->previous_id(), "aa");
  EXPECT_EQ(server_.selections().promotion.expected_current_id(), "aa");
  EXPECT_TRUE(server_.selections().promotion.force());
  EXPECT_FALSE(selections.Promote("none", {.expected_current = "none"})->has_selection());
  EXPECT_TRUE(server_.selections().promotion.has_expected_current_id());
  EXPECT_EQ(server_.selections().promotion.id() + server_.selections().promotion.expected_current_id(), "");

  EXPECT_TRUE(selections.Delete("aa").ok());
  EXPECT_TRUE(absl::IsNotFound(selections.Delete("aa")));
}

}  // namespace
}  // namespace midlayer
