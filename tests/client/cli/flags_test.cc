#include "client/cli/flags.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// An environment variable for the length of a test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

template <typename Options>
Options Parse(const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  const Command command = ParseCommand(arguments, out, err);
  EXPECT_EQ(err.str(), "");
  if (!std::holds_alternative<Options>(command)) {
    ADD_FAILURE() << "another command, or help: " << out.str();
    return {};
  }
  return std::get<Options>(command);
}

TEST(FlagsTest, EmbedDefaults) {
  const auto options = Parse<EmbedOptions>({"embed", "one", "two"});
  EXPECT_THAT(options.texts, ElementsAre("one", "two"));
  EXPECT_EQ(options.connection.target, "127.0.0.1:50051");
  EXPECT_EQ(options.connection.timeout_seconds, 60);
  EXPECT_EQ(options.output.layer, std::nullopt);
  EXPECT_EQ(options.output.pooling, v1::POOLING_UNSPECIFIED);
  EXPECT_TRUE(options.output.normalize);
  EXPECT_EQ(options.output.dimensions, 0);
  EXPECT_EQ(options.text.truncate, v1::TRUNCATE_NONE);
  EXPECT_EQ(options.text.prompt, std::nullopt);
  EXPECT_EQ(options.text.prompt_name, std::nullopt);
  EXPECT_EQ(options.format, OutputFormat::kJson);
  EXPECT_EQ(options.input_format, std::nullopt);
  EXPECT_EQ(options.batch, 32);
}

TEST(FlagsTest, EmbedEverything) {
  const auto options =
      Parse<EmbedOptions>({"embed", "--target=h:1", "--layer", "-2", "--pooling=weighted_mean", "--state", "normed",
                           "--normalize=false", "--dimensions=128", "--truncate=right", "--prompt-name=query",
                           "--output=npy", "--input=f.txt", "--input-format=jsonl", "--batch=7", "--timeout=1.5"});
  EXPECT_EQ(options.connection.target, "h:1");
  EXPECT_EQ(options.connection.timeout_seconds, 1.5);
  EXPECT_EQ(options.output.layer, -2);
  EXPECT_EQ(options.output.pooling, v1::POOLING_WEIGHTED_MEAN);
  EXPECT_EQ(options.output.state, v1::STATE_NORMED);
  EXPECT_FALSE(options.output.normalize);
  EXPECT_EQ(options.output.dimensions, 128);
  EXPECT_EQ(options.text.truncate, v1::TRUNCATE_RIGHT);
  EXPECT_EQ(options.text.prompt_name, "query");
  EXPECT_EQ(options.format, OutputFormat::kNpy);
  EXPECT_EQ(options.input, "f.txt");
  EXPECT_EQ(options.input_format, InputFormat::kJsonLines);
  EXPECT_EQ(options.batch, 7);
}

TEST(FlagsTest, TextsComeThroughAsTheyAre) {
  EXPECT_THAT(Parse<EmbedOptions>({"embed", "[a, b]", "{}", "", "%%", "info", "a,b", "\"q\"", "a=b"}).texts,
              ElementsAre("[a, b]", "{}", "", "%%", "info", "a,b", "\"q\"", "a=b"));
  EXPECT_THAT(Parse<EmbedOptions>({"embed", "--layer=3", "--", "--layer=", "-x", "[a]"}).texts,
              ElementsAre("--layer=", "-x", "[a]"));
  EXPECT_THAT(Parse<EmbedOptions>({"embed", "a", "--layer=3", "b"}).texts, ElementsAre("a", "b"));
  EXPECT_THAT(Parse<EmbedOptions>({"embed", "-"}).texts, ElementsAre("-"));
  EXPECT_THAT(Parse<SimilarityOptions>({"similarity", "[a, b]", "--", "-c"}).texts, ElementsAre("[a, b]", "-c"));
  EXPECT_EQ(Parse<EmbedOptions>({"embed", "--prompt=[q] ", "a"}).text.prompt, "[q] ");
  EXPECT_EQ(Parse<EmbedOptions>({"embed", "--prompt", "[q]", "a"}).text.prompt, "[q]");
  EXPECT_EQ(Parse<EmbedOptions>({"embed", "--prompt=", "a"}).text.prompt, "");
  EXPECT_THAT(Parse<EmbedOptions>({"embed", "--prompt=", "a"}).texts, ElementsAre("a"));
  EXPECT_EQ(Parse<EmbedOptions>({"embed", "--prompt", "", "a"}).text.prompt, "");
}

TEST(FlagsTest, SimilarityColumns) {
  const auto options =
      Parse<SimilarityOptions>({"similarity", "--layer=3", "--layer", "-1", "a", "b", "--pooling=mean,cls"});
  EXPECT_THAT(options.texts, ElementsAre("a", "b"));
  ASSERT_EQ(options.outputs.size(), 4);
  EXPECT_EQ(options.outputs[0].layer, 3);
  EXPECT_EQ(options.outputs[0].pooling, v1::POOLING_MEAN);
  EXPECT_EQ(options.outputs[1].layer, 3);
  EXPECT_EQ(options.outputs[1].pooling, v1::POOLING_CLS);
  EXPECT_EQ(options.outputs[2].layer, -1);
  const auto defaults = Parse<SimilarityOptions>({"similarity", "a", "b"});
  ASSERT_EQ(defaults.outputs.size(), 1);
  EXPECT_EQ(defaults.outputs[0].layer, std::nullopt);
  EXPECT_EQ(Parse<SimilarityOptions>({"similarity", "--layer=0,selected", "a", "b"}).outputs.size(), 2);
}

TEST(FlagsTest, Environment) {
  const Environment target("MIDLAYER_TARGET", "env:1");
  const Environment layer("MIDLAYER_LAYER", "4");
  const Environment normalize("MIDLAYER_NORMALIZE", "false");
  const Environment output("MIDLAYER_OUTPUT", "npy");
  const auto options = Parse<EmbedOptions>({"embed", "--layer=2", "a"});
  EXPECT_EQ(options.connection.target, "env:1");
  EXPECT_EQ(options.output.layer, 2);
  EXPECT_FALSE(options.output.normalize);
  EXPECT_EQ(options.format, OutputFormat::kNpy);
  EXPECT_TRUE(Parse<EmbedOptions>({"embed", "--normalize", "a"}).output.normalize);
  EXPECT_EQ(Parse<SimilarityOptions>({"similarity", "a", "b"}).outputs[0].layer, 4);
  EXPECT_EQ(Parse<InfoOptions>({"info"}).connection.target, "env:1");
}

TEST(FlagsTest, InfoAndHealth) {
  EXPECT_FALSE(Parse<InfoOptions>({"info"}).json);
  EXPECT_TRUE(Parse<InfoOptions>({"info", "--output=json"}).json);
  EXPECT_EQ(Parse<HealthOptions>({"health", "--service=s"}).service, "s");
}

TEST(FlagsTest, Bench) {
  const auto defaults = Parse<BenchOptions>({"bench"});
  EXPECT_THAT(defaults.layers, ElementsAre(std::nullopt));
  EXPECT_EQ(defaults.rate, 0);
  EXPECT_EQ(defaults.concurrency, 8);
  EXPECT_FALSE(defaults.json);
  const auto options =
      Parse<BenchOptions>({"bench", "--layer=3,-1", "--layer", "selected", "--rate=12.5", "--spacing=constant",
                           "--concurrency=32", "--connections=4", "--duration=60", "--warmup=0", "--requests=7",
                           "--texts=2", "--words=3", "--pooling=cls", "--output=json", "--target=h:1"});
  EXPECT_THAT(options.layers, ElementsAre(3, -1, std::nullopt));
  EXPECT_EQ(options.rate, 12.5);
  EXPECT_EQ(options.spacing, Arrivals::Spacing::kConstant);
  EXPECT_EQ(options.concurrency, 32);
  EXPECT_EQ(options.connections, 4);
  EXPECT_EQ(options.duration_seconds, 60);
  EXPECT_EQ(options.warmup_seconds, 0);
  EXPECT_EQ(options.requests, 7);
  EXPECT_EQ(options.texts, 2);
  EXPECT_EQ(options.words, 3);
  EXPECT_EQ(options.output.pooling, v1::POOLING_CLS);
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.connection.target, "h:1");
}

TEST(FlagsTest, ScoreDefaults) {
  const auto options = Parse<ScoreOptions>({"score", "--dataset=-"});
  EXPECT_EQ(options.dataset.dataset, "-");
  EXPECT_EQ(options.dataset.format, std::nullopt);
  EXPECT_EQ(options.connection.timeout_seconds, 600);
  EXPECT_FALSE(options.output.json);
  // Whatever is not said is left to the server.
  EXPECT_EQ(options.request.ByteSizeLong(), 0) << options.request.DebugString();
}

TEST(FlagsTest, ScoreEverything) {
  const auto options = Parse<ScoreOptions>({"score",
                                            "--dataset=f",
                                            "--passages=[p]",
                                            "--format=csv",
                                            "--text-field=a",
                                            "--label-field=b",
                                            "--pair-field=c",
                                            "--score-field=d",
                                            "--id-field=e",
                                            "--relevant-field=g",
                                            "--metrics=all,lidar",
                                            "--pooling=mean,cls",
                                            "--criterion=a:max=2,b:min=1",
                                            "--sample-size=7",
                                            "--seed=8",
                                            "--no-store",
                                            "--mode=reference-2024",
                                            "--alpha=2.5",
                                            "--normalization=log-n",
                                            "--state=normed",
                                            "--without-special-tokens",
                                            "--skip-leading-tokens=1",
                                            "--views=3",
                                            "--permutations=4",
                                            "--refresh",
                                            "--stop-early",
                                            "--promote",
                                            "--force",
                                            "--expected-current=none",
                                            "--example-values",
                                            "--output=json",
                                            "--html=page.html",
                                            "--target=h:1"});
  EXPECT_EQ(options.dataset.dataset, "f");
  EXPECT_EQ(options.dataset.passages, "[p]");
  EXPECT_EQ(options.dataset.format, DatasetFormat::kCsv);
  const FieldNames& fields = options.dataset.fields;
  EXPECT_EQ(fields.text + fields.label + fields.paired_text + fields.score + fields.id + fields.relevant, "abcdeg");
  EXPECT_TRUE(options.output.json);
  EXPECT_EQ(options.output.html, "page.html");
  EXPECT_EQ(options.connection.target, "h:1");
  const v1::ScoreOptions& request = options.request;
  EXPECT_THAT(request.metrics(), ElementsAre("all", "lidar"));
  EXPECT_THAT(request.poolings(), ElementsAre(v1::POOLING_MEAN, v1::POOLING_CLS));
  EXPECT_EQ(request.criterion(), "a:max=2,b:min=1");
  EXPECT_EQ(request.sample_size(), 7);
  EXPECT_EQ(request.seed(), 8);
  EXPECT_TRUE(request.has_store() && !request.store());
  EXPECT_EQ(request.mode(), v1::METRIC_MODE_REFERENCE_2024);
  EXPECT_EQ(request.alpha(), 2.5);
  EXPECT_EQ(request.normalization(), v1::ENTROPY_NORMALIZATION_LOG_N);
  EXPECT_EQ(request.state(), v1::STATE_NORMED);
  EXPECT_TRUE(request.without_special_tokens());
  EXPECT_EQ(request.skip_leading_tokens(), 1);
  EXPECT_EQ(request.views(), 3);
  EXPECT_EQ(request.permutations(), 4);
  EXPECT_TRUE(request.refresh() && request.stop_early() && request.promote() && request.force());
  EXPECT_TRUE(request.has_expected_current_id() && request.expected_current_id().empty());
  EXPECT_TRUE(request.example_values());
  EXPECT_EQ(Parse<ScoreOptions>({"score", "--server-dataset=n"}).request.dataset_name(), "n");
}

TEST(FlagsTest, ReportCompareAndSelections) {
  EXPECT_EQ(Parse<ReportOptions>({"report", "r.json", "--html=p"}).output.html, "p");
  EXPECT_THAT(Parse<CompareOptions>({"compare", "a", "b", "--metric=m"}).paths, ElementsAre("a", "b"));
  EXPECT_THAT(Parse<CompareOptions>({"compare", "a", "--layers=3,6"}).layers, ElementsAre(3, 6));
  EXPECT_EQ(Parse<SelectionsOptions>({"selections", "list"}).action, SelectionsAction::kList);
  const auto promote = Parse<SelectionsOptions>(
      {"selections", "promote", "abcdef", "--expected-current=none", "--force", "--target=h:1"});
  EXPECT_EQ(promote.action, SelectionsAction::kPromote);
  EXPECT_EQ(promote.id, "abcdef");
  EXPECT_EQ(promote.expected_id, "none");
  EXPECT_TRUE(promote.force);
  EXPECT_EQ(promote.connection.target, "h:1");
  EXPECT_EQ(Parse<SelectionsOptions>({"selections", "promote", "abcdef"}).expected_id, std::nullopt);
  EXPECT_TRUE(Parse<SelectionsOptions>({"selections", "delete", "abcdef", "--yes"}).yes);
  EXPECT_EQ(Parse<SelectionsOptions>({"selections", "show", "abcdef", "--html=p"}).output.html, "p");
}

TEST(FlagsTest, HelpAndVersion) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"--version"},
                                             {"embed", "--help"},
                                             {"similarity", "-h"},
                                             {"info", "-h"},
                                             {"health", "-h"},
                                             {"bench", "-h"},
                                             {"completion", "-h"},
                                             {"completion", "bash"},
                                             {"score", "-h"},
                                             {"report", "-h"},
                                             {"compare", "-h"},
                                             {"selections", "-h"},
                                             {"selections", "promote", "-h"}}) {
    std::ostringstream out, err;
    const Command command = ParseCommand(arguments, out, err);
    EXPECT_EQ(std::get<int>(command), kExitOk);
    EXPECT_NE(out.str(), "");
    EXPECT_EQ(err.str(), "");
    std::istringstream lines(out.str());
    const size_t longest = arguments.back() == "bash" ? std::string::npos : 104;
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), longest) << line;
  }
}

TEST(FlagsTest, WrongUsage) {
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } cases[] = {
      {{},
       "midlayer: expected embed, similarity, score, report, compare, selections, info, health, bench or completion, "
       "found nothing;"},
      {{"foo"}, "found \"foo\""},
      {{"--foo"}, "found \"--foo\""},
      {{"embed"}, "no texts"},
      {{"embed", "--foo", "a"}, "--foo"},
      {{"embed", "--layer=x", "a"}, "--layer: expected a number or \"selected\", found \"x\""},
      {{"embed", "--layer=3,6", "a"}, "--layer"},
      {{"embed", "--layer"}, "--layer"},
      {{"embed", "--pooling=median", "a"}, "expected cls|"},
      {{"embed", "--output=xml", "a"}, "expected json|npy|table, found \"xml\""},
      {{"embed", "--batch=0", "a"}, "--batch"},
      {{"embed", "--dimensions=-1", "a"}, "--dimensions"},
      {{"embed", "--timeout=-1", "a"}, "--timeout"},
      {{"embed", "--timeout=soon", "a"}, "--timeout: expected a number of seconds, 0 or more, found \"soon\""},
      {{"embed", "--normalize=maybe", "a"}, "normalize"},
      {{"embed", "--prompt=a", "--prompt-name=b", "c"}, "excludes"},
      {{"embed", "--input=f", "a"}, "excludes"},
      {{"similarity"}, "TEXT"},
      {{"similarity", "a"}, "two or more"},
      {{"similarity", "--layer=0,1,2,3,4,5,6,7,8,9,10,11,12", "--pooling=cls,mean,last,max,weighted_mean", "a", "b"},
       "at most 64"},
      {{"info", "x"}, "x"},
      {{"score"}, "no data set"},
      {{"score", "--dataset=f", "--server-dataset=n"}, "excludes"},
      {{"score", "--server-dataset=n", "--passages=p"}, "requires"},
      {{"score", "--dataset=-", "--passages=-"}, "cannot both be -"},
      {{"score", "--dataset=f", "--force"}, "for --promote"},
      {{"score", "--dataset=f", "--expected-current=none"}, "for --promote"},
      {{"score", "--dataset=f", "--mode=reference"}, "expected definition|reference-2024|reference-2025"},
      {{"score", "--dataset=f", "--sample-size=-1"}, "--sample-size"},
      {{"score", "--dataset=f", "--alpha=x"}, "--alpha"},
      {{"score", "--dataset=f", "--format=xml"}, "expected csv|jsonl|text"},
      {{"report"}, "REPORT is required; see midlayer report --help"},
      {{"compare", "a"}, "expected two reports"},
      {{"compare", "a", "b", "c"}, "expected two reports"},
      {{"compare", "a", "b", "--layers=1,2"}, "of one report"},
      {{"compare", "a", "--layers=1"}, "two layers"},
      {{"selections"}, "see midlayer selections --help"},
      {{"selections", "promote"}, "ID is required; see midlayer selections promote --help"},
      {{"selections", "list", "x"}, "x"},
      {{"bench", "--layer=x"}, "--layer: expected a number or \"selected\", found \"x\""},
      {{"bench", "--concurrency=0"}, "--concurrency"},
      {{"bench", "--concurrency=2", "--connections=3"}, "--connections: more than --concurrency can use"},
      {{"bench", "--rate=-1"}, "--rate"},
      {{"bench", "--input=f", "--words=3"}, "excludes"},
      {{"completion"}, "SHELL is required"},
      {{"completion", "tcsh"}, "expected bash|fish|zsh, found \"tcsh\""},
  };
  for (const auto& test : cases) {
    std::ostringstream out, err;
    const Command command = ParseCommand(test.arguments, out, err);
    ASSERT_TRUE(std::holds_alternative<int>(command)) << testing::PrintToString(test.arguments);
    EXPECT_EQ(std::get<int>(command), kExitUsage);
    EXPECT_THAT(err.str(), HasSubstr(test.message)) << testing::PrintToString(test.arguments);
    EXPECT_EQ(std::ranges::count(err.str(), '\n'), 1) << err.str();
    EXPECT_EQ(out.str(), "");
  }
}

}  // namespace
}  // namespace midlayer::cli
