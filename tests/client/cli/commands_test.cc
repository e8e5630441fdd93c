// The commands against a small server in the same process.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/embed.h"
#include "client/cli/health.h"
#include "client/cli/info.h"
#include "client/cli/similarity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/fake_server.h"
#include "tests/weights/test_files.h"

namespace midlayer::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kNobody[] = "127.0.0.1:1";  // a port that nothing listens on

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() { options_.connection.target = server_.target(); }

  // Runs `options_` with `input` as standard input.
  int Embed(const std::string& input = "") {
    in_.str(input);
    out_.str("");
    err_.str("");
    return RunEmbed(options_, Console());
  }

  cli::Console Console() { return {.in = &in_, .out = &out_, .err = &err_}; }

  // The texts of the JSON output, in order. Checks that each has its own vector.
  std::vector<std::string> Texts() {
    std::vector<std::string> texts;
    std::istringstream lines(out_.str());
    for (std::string line; std::getline(lines, line);) {
      const auto row = nlohmann::json::parse(line);
      texts.push_back(row["text"]);
      const bool is_number = texts.back().find_first_not_of("0123456789") == std::string::npos;
      EXPECT_EQ(row["embedding"][0].get<double>(),
                is_number ? std::stod(texts.back()) : static_cast<double>(texts.back().size()));
    }
    return texts;
  }

  FakeServer server_;
  EmbedOptions options_;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CommandsTest, EmbedsArguments) {
  options_.texts = {"7", "word"};
  options_.output.layer = 3;
  options_.output.pooling = v1::POOLING_CLS;
  EXPECT_EQ(Embed(), kExitOk);
  EXPECT_EQ(out_.str(),
            "{\"text\":\"7\",\"layer\":3,\"pooling\":\"cls\",\"tokens\":1,\"embedding\":[7,3,0.1]}\n"
            "{\"text\":\"word\",\"layer\":3,\"pooling\":\"cls\",\"tokens\":4,\"embedding\":[4,3,0.1]}\n");
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(server_.service().messages, 1);
}

TEST_F(CommandsTest, ManyMessagesKeepTheirOrder) {
  options_.texts = {"-"};
  options_.batch = 7;
  std::string input;
  std::vector<std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    expected.push_back(std::to_string(i));
    absl::StrAppend(&input, i, "\n");
  }
  EXPECT_EQ(Embed(input), kExitOk) << err_.str();
  EXPECT_EQ(Texts(), expected);
  EXPECT_EQ(server_.service().messages, (5000 + 6) / 7);
  EXPECT_EQ(server_.service().most_texts, 7);
}

TEST_F(CommandsTest, MessagesOfLongTextsAreCutByBytes) {
  options_.texts = {"-"};
  const std::string megabyte(1 << 20, 'x');
  std::string input;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&input, megabyte, "\n");
  EXPECT_EQ(Embed(input), kExitOk) << err_.str();
  EXPECT_EQ(Texts().size(), 20);
  EXPECT_EQ(server_.service().messages, 20);
}

TEST_F(CommandsTest, OneBadTextLosesNoOther) {
  options_.texts = {"-"};
  options_.batch = 4;
  EXPECT_EQ(Embed("1\n2\nbad\n\n4\n5\n6\nalso bad\n"), kExitFailed);
  EXPECT_THAT(Texts(), ElementsAre("1", "2", "4", "5", "6"));
  EXPECT_EQ(err_.str(),
            "midlayer: line 3: expected good, found bad\n"
            "midlayer: line 8: expected good, found bad\n"
            "midlayer: 2 of 7 texts failed\n");
}

TEST_F(CommandsTest, BadLinesLoseNoOther) {
  options_.texts = {"-"};
  options_.input_format = InputFormat::kJsonLines;
  EXPECT_EQ(Embed("{\"text\":\"1\"}\n{\"text\":\"bad\"}\nnonsense\n{\"text\":\"4\"}\n"), kExitFailed);
  EXPECT_THAT(Texts(), ElementsAre("1", "4"));
  EXPECT_EQ(err_.str(),
            "midlayer: line 2: expected good, found bad\n"
            "midlayer: line 3: not JSON, at byte 2\n"
            "midlayer: 2 of 4 texts failed\n");
}

TEST_F(CommandsTest, OnlyBadLines) {
  options_.texts = {"-"};
  EXPECT_EQ(Embed("\xFF\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: line 1: not UTF-8, at byte 1\n");
  EXPECT_EQ(server_.service().messages, 0);
}

TEST_F(CommandsTest, BadArgument) {
  options_.texts = {"bad"};
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: text 1: expected good, found bad\n");
}

TEST_F(CommandsTest, NothingToEmbed) {
  options_.texts = {"-"};
  EXPECT_EQ(Embed("\n\n"), kExitOk);
  EXPECT_EQ(out_.str() + err_.str(), "");
}

TEST_F(CommandsTest, WrongRequestIsNotTriedOnEveryText) {
  options_.texts = {"-"};
  options_.batch = 2;
  options_.output.layer = 99;
  EXPECT_EQ(Embed("1\n2\n3\n4\n5\n6\n"), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: layer: expected 0 to 6, found 99\n");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CommandsTest, ServerGoesAwayInTheMiddle) {
  options_.texts = {"-"};
  options_.batch = 2;
  EXPECT_EQ(Embed("1\n2\n3\ngone\n5\n"), kExitUnreachable);
  EXPECT_THAT(Texts(), ElementsAre("1", "2"));
  EXPECT_EQ(err_.str(), absl::StrCat("midlayer: ", server_.target(),
                                     " is not available (shutting down): try again later (the last one done is "
                                     "line 2)\n"));
}

TEST_F(CommandsTest, SlowAnswerTimesOut) {
  options_.texts = {"1", "slow"};
  options_.batch = 1;
  options_.connection.timeout_seconds = 0.3;
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_THAT(Texts(), ElementsAre("1"));
  EXPECT_THAT(err_.str(), HasSubstr("within 0.3 s: wait longer with --timeout (the last one done is text 1)"));
}

TEST_F(CommandsTest, NobodyListens) {
  options_.texts = {"1"};
  options_.connection.target = kNobody;
  EXPECT_EQ(Embed(), kExitUnreachable);
  EXPECT_THAT(err_.str(), StartsWith("midlayer: cannot reach 127.0.0.1:1 (connection refused): is midlayer-server "));
  EXPECT_EQ(RunInfo({.connection = options_.connection}, Console()), kExitUnreachable);
  EXPECT_EQ(RunHealth({.connection = options_.connection}, Console()), kExitUnreachable);
  EXPECT_EQ(RunSimilarity({.connection = options_.connection, .outputs = {{}}, .texts = {"a", "b"}}, Console()),
            kExitUnreachable);
}

TEST_F(CommandsTest, InputFile) {
  const TempDir directory;
  const std::string path = directory.Write("texts.jsonl", "{\"text\":\"1\"}\n{\"text\":\"2\"}");
  options_.input = path;
  EXPECT_EQ(Embed(), kExitOk) << err_.str();
  EXPECT_THAT(Texts(), ElementsAre("1", "2"));
  std::remove(path.c_str());
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_EQ(err_.str(), absl::StrCat("midlayer: cannot read ", path, ": No such file or directory\n"));
  options_.input = directory.path();
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("Is a directory"));
}

TEST_F(CommandsTest, NpyOfTheGoodTexts) {
  options_.texts = {"1", "bad", "3"};
  options_.format = OutputFormat::kNpy;
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("'shape': (2, 3)"));
  EXPECT_EQ(out_.str().size(), 128 + 2 * 3 * sizeof(float));
  options_.texts = {"bad"};
  EXPECT_EQ(Embed(), kExitFailed);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CommandsTest, Similarity) {
  SimilarityOptions options = {.connection = options_.connection, .texts = {"3", "4", "5"}};
  for (const int layer : {0, 6}) options.outputs.push_back({.layer = layer});
  EXPECT_EQ(RunSimilarity(options, Console()), kExitOk);
  EXPECT_THAT(out_.str(), StartsWith("text  text  layer 0 mean  layer 6 mean\n"
                                     "3     4           1.0000        0.9923\n"));
  EXPECT_THAT(out_.str(), HasSubstr("\n3 texts, 3 tokens; tokenize "));
  EXPECT_EQ(server_.service().messages, 1);
  options.texts = {"bad", "x"};
  EXPECT_EQ(RunSimilarity(options, Console()), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: texts[0]: expected good, found bad\n");
}

TEST_F(CommandsTest, Info) {
  EXPECT_EQ(RunInfo({.connection = options_.connection}, Console()), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("model         fake (bert)\n"));
  out_.str("");
  EXPECT_EQ(RunInfo({.connection = options_.connection, .json = true}, Console()), kExitOk);
  const auto model = nlohmann::json::parse(out_.str());
  EXPECT_EQ(model["name"], "fake");
  EXPECT_EQ(model["max_layer"], kFakeLayers);
  EXPECT_EQ(model["has_final_norm"], false);
}

TEST_F(CommandsTest, Health) {
  EXPECT_EQ(RunHealth({.connection = options_.connection}, Console()), kExitOk);
  EXPECT_EQ(out_.str(), "SERVING\n");
  EXPECT_EQ(RunHealth({.connection = options_.connection, .service = "none"}, Console()), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: the server has no service \"none\"\n");
  out_.str("");
  server_.server().GetHealthCheckService()->SetServingStatus(false);
  EXPECT_EQ(RunHealth({.connection = options_.connection}, Console()), kExitFailed);
  EXPECT_EQ(out_.str(), "NOT_SERVING\n");
}

}  // namespace
}  // namespace midlayer::cli
