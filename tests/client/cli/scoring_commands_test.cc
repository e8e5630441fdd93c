// The commands score, report and selections against a small server in the same process.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "client/cli/report_text.h"
#include "client/cli/score.h"
#include "client/cli/selections.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli/fake_server.h"
#include "tests/client/cli/sample_report.h"
#include "tests/weights/test_files.h"

namespace midlayer::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ScoringCommandsTest : public testing::Test {
 protected:
  ScoringCommandsTest() {
    options_.connection.target = server_.target();
    options_.dataset.dataset = "-";
    server_.scoring().set_report(SampleReport());
    for (const char* id : {"abcdef111", "abcdef222", "zyxwvu333"}) {
      v1::Selection selection = SampleReport().selection();
      selection.set_id(id);
      selection.set_promoted(id == std::string("abcdef222"));
      server_.selections().selections.push_back(selection);
    }
    server_.selections().report = SampleReport();
  }

  // Runs `options_` with `input` as standard input.
  int Score(const std::string& input) {
    in_.str(input);
    out_.str("");
    err_.str("");
    return RunScore(options_, Console());
  }

  int Selections(SelectionsOptions options) {
    out_.str("");
    err_.str("");
    options.connection.target = server_.target();
    return RunSelections(options, Console());
  }

  cli::Console Console() { return {.in = &in_, .out = &out_, .err = &err_, .err_is_terminal = show_progress_}; }

  FakeServer server_;
  ScoreOptions options_;
  bool show_progress_ = false;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ScoringCommandsTest, SendsOptionsAndExamples) {
  options_.request.set_criterion("lidar:min");
  options_.request.set_seed(7);
  EXPECT_EQ(Score("{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n"), kExitOk) << err_.str();
  const FakeScoring::Call call = server_.scoring().call();
  EXPECT_EQ(call.options.criterion(), "lidar:min");
  EXPECT_EQ(call.options.seed(), 7);
  ASSERT_EQ(call.examples.size(), 2);
  EXPECT_EQ(call.examples[1].text(), "b");
  EXPECT_EQ(call.examples[1].label(), "2");
  EXPECT_EQ(out_.str(), FormatReport(SampleReport(), 100));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(ScoringCommandsTest, ManyExamplesKeepTheirOrder) {
  std::string input;
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&input, "text ", i, "\n");
  EXPECT_EQ(Score(input), kExitOk) << err_.str();
  const FakeScoring::Call call = server_.scoring().call();
  ASSERT_EQ(call.examples.size(), 20000);
  for (int i = 0; i < 20000; ++i) EXPECT_EQ(call.examples[i].text(), absl::StrCat("text ", i));
}

TEST_F(ScoringCommandsTest, DataSetOfTheServer) {
  options_.dataset.dataset.clear();
  options_.request.set_dataset_name("reviews");
  EXPECT_EQ(Score(""), kExitOk) << err_.str();
  EXPECT_EQ(server_.scoring().call().options.dataset_name(), "reviews");
  EXPECT_TRUE(server_.scoring().call().examples.empty());
}

TEST_F(ScoringCommandsTest, JsonReadsBackAsTheSameReport) {
  options_.output.json = true;
  EXPECT_EQ(Score("a\n"), kExitOk);
  std::istringstream json(out_.str());
  const auto report = ReadReport("-", {.in = &json});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(ToJson(*report), ToJson(SampleReport()));
}

TEST_F(ScoringCommandsTest, PageBesideTheOutput) {
  const TempDir directory;
  options_.output.html = directory.path() / "report.html";
  options_.output.json = true;
  EXPECT_EQ(Score("a\n"), kExitOk);
  EXPECT_THAT(out_.str(), StartsWith("{"));
  std::stringstream page;
  page << std::ifstream(options_.output.html).rdbuf();
  EXPECT_THAT(page.str(), StartsWith("<!DOCTYPE html>"));
  std::remove(options_.output.html.c_str());
  // Where it cannot be written, nothing is scored.
  const int calls = server_.scoring().calls();
  options_.output.html = "/nowhere/page.html";
  EXPECT_EQ(Score("a\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: cannot write /nowhere/page.html: No such file or directory\n");
  EXPECT_EQ(server_.scoring().calls(), calls);
}

TEST_F(ScoringCommandsTest, ProgressOnATerminalOnly) {
  show_progress_ = true;
  EXPECT_EQ(Score("a\nb\n"), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("forward: 1 of 2 tokens"));
  EXPECT_TRUE(err_.str().ends_with("\r\x1b[K")) << err_.str();
}

TEST_F(ScoringCommandsTest, WhatTheServerRefuses) {
  EXPECT_EQ(Score("a\nbad\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: examples[1].text: expected good, found bad\n");
  EXPECT_EQ(Score("nothing\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: the server sent no report\n");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(ScoringCommandsTest, BadDataEndsTheCall) {
  options_.dataset.format = DatasetFormat::kJsonLines;
  EXPECT_EQ(Score("{\"text\":\"a\"}\n{\"text\":7}\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: standard input, line 2: field \"text\": expected a string, found number\n");
  EXPECT_EQ(Score(""), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: standard input: no examples in it\n");
  options_.dataset.dataset = "/nowhere";
  EXPECT_EQ(Score(""), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: cannot read /nowhere: No such file or directory\n");
}

TEST_F(ScoringCommandsTest, SilenceTimesOut) {
  options_.connection.timeout_seconds = 0.3;
  EXPECT_EQ(Score("slow\n"), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("within 0.3 s: wait longer with --timeout"));
}

TEST_F(ScoringCommandsTest, NobodyListens) {
  options_.connection.target = "127.0.0.1:1";
  EXPECT_EQ(Score("a\n"), kExitUnreachable);
  EXPECT_EQ(RunSelections({.connection = options_.connection}, Console()), kExitUnreachable);
}

TEST_F(ScoringCommandsTest, ReportAgain) {
  EXPECT_EQ(RunReport({.path = kSampleReport}, Console()), kExitOk);
  EXPECT_EQ(out_.str(), FormatReport(SampleReport(), 100));
  EXPECT_EQ(RunReport({.path = "/nowhere"}, Console()), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: cannot read /nowhere: No such file or directory\n");
}

TEST_F(ScoringCommandsTest, SelectionsList) {
  EXPECT_EQ(Selections({}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("> abcdef222         4  mean           a task          medium      auto"));
  EXPECT_EQ(Selections({.output = {.json = true}}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\"id\": \"zyxwvu333\""));
  server_.selections().selections.clear();
  EXPECT_EQ(Selections({}), kExitOk);
  EXPECT_EQ(out_.str(), "no selections: midlayer score makes them\n");
}

TEST_F(ScoringCommandsTest, SelectionsShow) {
  EXPECT_EQ(Selections({.action = SelectionsAction::kShow, .id = "abcdef2"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("\nSelection    abcdef222\n             It is what Embed uses"));
}

TEST_F(ScoringCommandsTest, BeginningsOfIds) {
  const struct {
    const char* id;
    const char* error;
  } cases[] = {{"abcde", "midlayer: id: expected at least 6 characters of it, found \"abcde\"\n"},
               {"abcdef", "midlayer: id: \"abcdef\" is the beginning of 2 selections: write more of it\n"},
               {"abcdef3", "midlayer: id: no such selection: abcdef3\n"}};
  for (const auto& test : cases) {
    EXPECT_EQ(Selections({.action = SelectionsAction::kShow, .id = test.id}), kExitFailed);
    EXPECT_EQ(err_.str(), test.error);
  }
}

TEST_F(ScoringCommandsTest, SelectionsPromote) {
  EXPECT_EQ(Selections({.action = SelectionsAction::kPromote, .id = "zyxwvu", .expected_id = "abcdef2", .force = true}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(out_.str(), "promoted layer 4 mean by auto, id zyxwvu333\nbefore: abcdef222\n");
  EXPECT_EQ(server_.selections().promotion.expected_current_id(), "abcdef222");
  EXPECT_TRUE(server_.selections().promotion.force());
  EXPECT_EQ(Selections({.action = SelectionsAction::kPromote, .id = "none"}), kExitOk);
  EXPECT_EQ(out_.str(), "no selection is promoted any more\nbefore: zyxwvu333\n");
  EXPECT_FALSE(server_.selections().promotion.has_expected_current_id());
  EXPECT_EQ(Selections({.action = SelectionsAction::kPromote, .id = "abcdef1", .expected_id = "none"}), kExitOk);
  EXPECT_TRUE(server_.selections().promotion.has_expected_current_id());
  EXPECT_EQ(server_.selections().promotion.expected_current_id(), "");
}

TEST_F(ScoringCommandsTest, SelectionsDelete) {
  EXPECT_EQ(Selections({.action = SelectionsAction::kDelete, .id = "zyxwvu"}), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: this would delete zyxwvu333 for all replicas: repeat it with --yes\n");
  EXPECT_EQ(server_.selections().selections.size(), 3);
  EXPECT_EQ(Selections({.action = SelectionsAction::kDelete, .id = "zyxwvu", .yes = true}), kExitOk);
  EXPECT_EQ(out_.str(), "deleted zyxwvu333\n");
  EXPECT_EQ(server_.selections().selections.size(), 2);
}

}  // namespace
}  // namespace midlayer::cli
