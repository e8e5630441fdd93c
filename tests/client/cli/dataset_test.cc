// Data sets: records become examples, and what is wrong is named by file, line and field.
#include "client/cli/dataset.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/csv_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/weights/test_files.h"

namespace midlayer::cli {
namespace {

using std::string_literals::operator""s;
using ::testing::ElementsAre;
using ::testing::StartsWith;

// "text=a label=x": the fields that are set, so that a table of cases can be read.
std::string Describe(const v1::Example& example) {
  std::vector<std::string> parts = {absl::StrCat("text=", example.text())};
  if (example.has_label()) parts.push_back(absl::StrCat("label=", example.label()));
  if (example.has_paired_text()) parts.push_back(absl::StrCat("pair=", example.paired_text()));
  if (example.has_score()) parts.push_back(absl::StrCat("score=", example.score()));
  if (!example.id().empty()) parts.push_back(absl::StrCat("id=", example.id()));
  if (example.relevant_ids_size() > 0)
    parts.push_back(absl::StrCat("relevant=", absl::StrJoin(example.relevant_ids(), "+")));
  if (example.passage()) parts.push_back("passage");
  return absl::StrJoin(parts, " ");
}

std::vector<std::string> ReadAll(Dataset& dataset) {
  std::vector<std::string> all;
  v1::Example example;
  while (true) {
    const absl::StatusOr<bool> found = dataset.Next(&example);
    if (!found.ok()) all.push_back(absl::StrCat("!", found.status().message()));
    if (!found.ok() || !*found) return all;
    all.push_back(Describe(example));
  }
}

// What `input`, on standard input, is read as.
std::vector<std::string> Read(const std::string& input, DatasetOptions options) {
  std::istringstream in(input);
  options.dataset = "-";
  const auto dataset = OpenDataset(options, {.in = &in});
  return ReadAll(**dataset);
}

std::vector<std::string> ReadJson(const std::string& input) {
  return Read(input, {.format = DatasetFormat::kJsonLines});
}

std::vector<std::string> ReadCsv(const std::string& input) { return Read(input, {.format = DatasetFormat::kCsv}); }

TEST(DatasetTest, FieldsOfJsonLines) {
  const struct {
    const char* line;
    const char* expected;
  } cases[] = {
      {R"({"text":"a"})", "text=a"},
      {R"({"text":"a","label":"x","other":[1]})", "text=a label=x"},
      {R"({"text":"a","label":3})", "text=a label=3"},
      {R"({"text":"a","label":3.0})", "text=a label=3"},
      {R"({"text":"a","label":-0.5})", "text=a label=-0.5"},
      {R"({"text":"a","label":12345678901234567890})", "text=a label=12345678901234567890"},
      {R"({"text":"a","label":null,"score":null,"paired_text":"","relevant":null})", "text=a"},
      {R"({"text_a":"a","text_b":"b","score":2.5})", "text=a pair=b score=2.5"},
      {R"({"sentence1":"a","sentence2":"b","score":4})", "text=a pair=b score=4"},
      {R"({"query":"a","positive":"b"})", "text=a pair=b"},
      {R"({"query":"a","passage":"b"})", "text=a pair=b"},
      {R"({"anchor":"a","positive":"b"})", "text=a pair=b"},
      {R"({"text":"a","text_a":"b"})", "text=a"},
      {R"({"id":"q1","text":"a","relevant":["1","2"]})", "text=a relevant=1+2"},
      {R"({"_id":7,"text":"a","relevant":7})", "text=a relevant=7"},
      {R"({"id":7,"text":"a","passage":true})", "text=a id=7 passage"},
      {R"({"id":7,"text":"a","passage":false})", "text=a"},
      {R"({"text":"gr\u00fc\u00df"})", "text=grüß"},
  };
  for (const auto& test : cases) EXPECT_THAT(ReadJson(test.line), ElementsAre(test.expected)) << test.line;
}

TEST(DatasetTest, WhatIsWrongWithJsonLines) {
  const struct {
    std::string line;
    const char* expected;
  } cases[] = {
      {"nonsense", "!standard input, line 2: not JSON, at byte 2"},
      {"[1]", "!standard input, line 2: expected a JSON object, found array"},
      {R"({"txt":"a","n":1})", "!standard input, line 2: no text: expected the field one of text, text_a, sentence1"},
      {R"({"text":""})", "!standard input, line 2: no text"},
      {R"({"text":7})", "!standard input, line 2: field \"text\": expected a string, found number"},
      {R"({"text":"a","label":["x"]})",
       "!standard input, line 2: field \"label\": expected a string or a number, found array"},
      {R"({"text":"a","label":true})",
       "!standard input, line 2: field \"label\": expected a string or a number, found boolean"},
      {R"({"text":"a","score":"5"})",
       "!standard input, line 2: field \"score\": expected a finite number, found \"5\""},
      {R"({"text":"a","text_b":5})", "!standard input, line 2: field \"text_b\": expected a string, found number"},
      {R"({"text":"a","relevant":[{}]})",
       "!standard input, line 2: field \"relevant\": expected a string or a number, found object"},
      {R"({"id":[],"text":"a","passage":true})",
       "!standard input, line 2: field \"id\": expected a string or a number, found array"},
      {"{\"text\":\"\xFF\"}", "!standard input, line 2: not UTF-8, at byte 10"},
      {R"({"text":"a","score":1e999})", "!standard input, line 2: a number that is too large"},
      {"{\"text\":\"a\",\"relevant\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}",
       "!standard input, line 2: nested deeper than 100"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(ReadJson("{\"text\":\"good\"}\n" + test.line), ElementsAre("text=good", StartsWith(test.expected)))
        << test.line;
  }
}

TEST(DatasetTest, FieldsOfCsv) {
  EXPECT_THAT(ReadCsv("text,label,score\r\n\"a, \"\"b\"\"\nc\",x,\r\n\r\nd,,2.5\r\n"),
              ElementsAre("text=a, \"b\"\nc label=x", "text=d score=2.5"));
  EXPECT_THAT(ReadCsv("\xEF\xBB\xBFid,text,passage,relevant\n1,a,true,\n2,b,0,1; 3;\n"),
              ElementsAre("text=a id=1 passage", "text=b relevant=1+3"));
  EXPECT_THAT(ReadCsv("query,passage\na,b"), ElementsAre("text=a pair=b"));
  // Headers that begin with one and with two bytes of a byte order mark.
  EXPECT_THAT(ReadCsv("\xEF\xBC\xAE,text\n1,a\n"), ElementsAre("text=a"));
  EXPECT_THAT(ReadCsv("\xEF\xBB\xB4\"x\",text\n1,a\n"), ElementsAre("text=a"));
}

TEST(DatasetTest, WhatIsWrongWithCsv) {
  const struct {
    std::string input;
    const char* expected;
  } cases[] = {
      {"text\n\"a", "!standard input, line 2: a quote that is not closed"},
      {"text\n\"a\"b\n", "!standard input, line 2: expected a comma after a closing quote"},
      {"text,label\na\n", "!standard input, line 2: expected 2 fields, as the header has, found 1"},
      {"text,score\n\"a\nb\",five\n",
       "!standard input, line 2: field \"score\": expected a finite number, found \"five\""},
      {"text,score\na,nan\n", "!standard input, line 2: field \"score\": expected a finite number, found \"nan\""},
      {"text\n\xFF\n", "!standard input, line 2: field \"text\": not UTF-8, at its byte 1"},
      {"words\na\n", "!standard input, line 2: no text: expected the field one of text"},
      {"text\n", "!standard input: no examples in it"},
  };
  for (const auto& test : cases) EXPECT_THAT(ReadCsv(test.input), ElementsAre(StartsWith(test.expected))) << test.input;
  // The line is where the record begins, whatever came before.
  EXPECT_THAT(ReadCsv("text,score\n\"a\nb\",1\nc,x\n"),
              ElementsAre("text=a\nb score=1", StartsWith("!standard input, line 4: field \"score\"")));
}

TEST(DatasetTest, FormatByFirstCharacter) {
  EXPECT_THAT(Read("{\"text\":\"a\"}\n", {}), ElementsAre("text=a"));
  EXPECT_THAT(Read("a\n \nb, c\n", {}), ElementsAre("text=a", "text=b, c"));
  EXPECT_THAT(Read("", {}), ElementsAre("!standard input: no examples in it"));
  EXPECT_THAT(Read("\n\n", {}), ElementsAre("!standard input: no examples in it"));
}

TEST(DatasetTest, OtherFieldNames) {
  const DatasetOptions options = {.format = DatasetFormat::kJsonLines,
                                  .fields = {.text = "q", .label = "topic", .paired_text = "p", .score = "gold"}};
  EXPECT_THAT(Read(R"({"q":"a","topic":"x","p":"b","gold":1,"text":"not this","label":"nor this"})", options),
              ElementsAre("text=a label=x pair=b score=1"));
  EXPECT_THAT(Read(R"({"text":"a"})", options),
              ElementsAre("!standard input, line 1: no text: expected the field \"q\"; found text"));
}

TEST(DatasetTest, LongLines) {
  const std::string longest(kMaxExampleBytes, 'a');
  EXPECT_EQ(Read(longest, {}).at(0).size(), kMaxExampleBytes + 5);
  EXPECT_THAT(Read("a\n" + longest + "a\n", {}), ElementsAre("text=a", "!standard input, line 2: longer than 50 MB"));
  EXPECT_THAT(ReadCsv("text\n\"" + longest + "\"\n"), ElementsAre("!standard input, line 2: longer than 50 MB"));
}

TEST(DatasetTest, PassagesOfASecondFile) {
  const TempDir directory;
  const std::string queries = directory.path() / "queries.jsonl";
  const std::string passages = directory.path() / "passages.csv";
  std::ofstream(queries) << R"({"id":"q","text":"a","relevant":["1"]})" << "\n";
  std::ofstream(passages) << "id,text\n1,b\n2,c\n";
  EXPECT_THAT(ReadAll(**OpenDataset({.dataset = queries, .passages = passages}, {})),
              ElementsAre("text=a relevant=1", "text=b id=1 passage", "text=c id=2 passage"));
  std::ofstream(passages) << "id,text\n1,b\n2,\n";
  EXPECT_THAT(ReadAll(**OpenDataset({.dataset = queries, .passages = passages}, {})).back(),
              StartsWith(absl::StrCat("!", passages, ", line 3: no text")));
  std::remove(passages.c_str());
  EXPECT_EQ(OpenDataset({.dataset = queries, .passages = passages}, {}).status().message(),
            absl::StrCat("cannot read ", passages, ": No such file or directory"));
  std::remove(queries.c_str());
}

TEST(CsvReaderTest, Rfc4180) {
  const struct {
    std::string input;
    std::vector<std::vector<std::string>> expected;
  } cases[] = {
      {"", {}},
      {"\n\r\n", {}},
      {"a", {{"a"}}},
      {"a,b\n", {{"a", "b"}}},
      {"a,b\r\nc,d", {{"a", "b"}, {"c", "d"}}},
      {",\n", {{"", ""}}},
      {"a,", {{"a", ""}}},
      {"\"a\",\"\"\n", {{"a", ""}}},
      {"\"a\r\nb\"\n", {{"a\nb"}}},
      {"\"\"\"a\"\"\"\n", {{"\"a\""}}},
      {"a\"b, c \n", {{"a\"b", " c "}}},
      {"a\0b\n"s, {{"a\0b"s}}},
  };
  for (const auto& test : cases) {
    std::istringstream in(test.input);
    CsvReader reader(&in, 1000);
    std::vector<std::vector<std::string>> found;
    std::vector<std::string> fields;
    while (reader.Next(&fields).value()) found.push_back(fields);
    EXPECT_EQ(found, test.expected) << test.input;
  }
}

}  // namespace
}  // namespace midlayer::cli
