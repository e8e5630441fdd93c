#include "server/engine/dataset.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

Example Text(std::string text) { return {.text = std::move(text)}; }
Example Labelled(std::string text, std::string label) { return {.text = std::move(text), .label = std::move(label)}; }
Example Pair(std::string text, std::string other, std::optional<double> score = std::nullopt) {
  return {.text = std::move(text), .paired_text = std::move(other), .score = score};
}
Example Passage(std::string id, std::string text) {
  return {.text = std::move(text), .id = std::move(id), .passage = true};
}
Example Query(std::string text, std::vector<std::string> relevant) {
  return {.text = std::move(text), .relevant_ids = std::move(relevant)};
}

absl::StatusOr<Dataset> Build(const std::vector<Example>& examples, int64_t sample = 1000, uint64_t seed = 0,
                              const DatasetBuilder::Limits& limits = {}) {
  DatasetBuilder builder(limits);
  for (const Example& example : examples) {
    if (const absl::Status added = builder.Add(example); !added.ok()) return added;
  }
  return builder.Finish(sample, seed);
}

TEST(DatasetTest, SeesWhatIsKnownOfEveryExample) {
  const Dataset plain = Build({Text("a"), Text("b")}).value();
  EXPECT_FALSE(plain.labelled || plain.scored || plain.retrieval);
  EXPECT_EQ(plain.received, 2u);
  EXPECT_TRUE(Build({Labelled("a", "x"), Labelled("b", "y"), Labelled("c", "y")})->labelled);
  const Dataset scored = Build({Pair("a", "b", 1), Pair("c", "d", 2)}).value();
  EXPECT_TRUE(scored.scored);
  EXPECT_FALSE(scored.retrieval);
  EXPECT_TRUE(Build({Pair("a", "b"), Pair("c", "d")})->retrieval);
  EXPECT_TRUE(Build({Passage("1", "a"), Passage("2", "b"), Query("c", {"2"})})->retrieval);
  EXPECT_FALSE(Build({Passage("1", "a"), Passage("2", "b")})->retrieval) << "texts like others";
}

TEST(DatasetTest, RefusesByPlaceAndField) {
  const std::vector<std::pair<std::vector<Example>, std::string>> cases = {
      {{}, "examples: expected 2 or more, found 0"},
      {{Text("a")}, "examples: expected 2 or more, found 1"},
      {{Text("a"), Text("")}, "examples[1].text: expected some text, found none"},
      {{Text("a"), Text("b\xFF")}, "examples[1].text: expected UTF-8, found other bytes at 1"},
      {{Text("a"), Labelled("b", "\xC3")}, "examples[1].label: expected UTF-8"},
      {{Text("a"), Text(std::string(101, 'x'))}, "examples[1].text: expected at most 100 bytes, found 101"},
      {{Labelled("a", "x"), Labelled("b", "x")}, "label: expected 2 classes or more, found only \"x\""},
      {{Labelled("a", "x"), Labelled("b", "y")}, "label: expected a class of 2 examples or more, found all different"},
      {{Labelled("a", "x"), Text("b"), Labelled("c", "y")},
       "examples[1].label: expected one, as 2 other examples have"},
      {{Pair("a", "b", 1), Pair("c", "d")}, "examples[1].score: expected one, as 1 other examples have, found none"},
      {{Text("a"), Pair("b", "", 1)}, "examples[1].paired_text: expected the text that the score is of, found none"},
      {{Text("a"), Pair("b", "c", std::nan(""))}, "examples[1].score: expected a finite number, found nan"},
      {{Passage("1", "a"), Passage("1", "b")}, "examples[1].id: expected a name that no other passage has"},
      {{Passage("1", "a"), Query("b", {"2"})}, "examples[1].relevant_ids: expected names of passages, found \"2\""},
      {{Passage("1", "a"), Query("b", {"1"}), Query("c", {})}, "examples[2].relevant_ids: expected one"},
      {{Passage("1", "a"), Text("b")}, "relevant_ids: expected some beside passages, found none"},
      {{Passage("", "a"), Pair("b", "c", 1), Pair("d", "e", 1)}, "relevant_ids: expected some beside passages"},
      {{Text("a"), {.text = "b", .id = "1"}}, "examples[1].id: expected none but on a passage"},
      {{{.text = "a", .label = "x", .passage = true}}, "examples[0].passage: expected no label"},
      {{{.text = "a", .paired_text = "b", .relevant_ids = {"1"}}}, "examples[0].relevant_ids: expected none beside"},
  };
  for (const auto& [examples, message] : cases) {
    const absl::Status status = Build(examples, 1000, 0, {.max_text_bytes = 100}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(DatasetTest, TakesSoManyExamplesAndBytes) {
  EXPECT_EQ(Build({Text("a"), Text("b"), Text("c")}, 10, 0, {.max_examples = 2}).status().code(),
            absl::StatusCode::kResourceExhausted);
  constexpr int64_t kTwo = 2 * sizeof(Example);
  EXPECT_EQ(Build({Text("aaaa"), Text("bbbb")}, 10, 0, {.max_bytes = kTwo + 7}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Build({Text("aaaa"), Text("bbb")}, 10, 0, {.max_bytes = kTwo + 7}).ok());
  const Example many{.text = "q", .relevant_ids = std::vector<std::string>(1000)};
  EXPECT_EQ(Build({many, many}, 10, 0, {.max_bytes = 50'000}).status().code(), absl::StatusCode::kResourceExhausted)
      << "empty strings take room too";
}

std::vector<Example> ManyTexts(int count) {
  std::vector<Example> examples;
  for (int i = 0; i < count; ++i) examples.push_back(Text(absl::StrCat("text ", i)));
  return examples;
}

TEST(DatasetTest, DrawsBySeedInTheOrderOfTheInput) {
  const Dataset a = Build(ManyTexts(100), 10, 1).value(), again = Build(ManyTexts(100), 10, 1).value();
  const Dataset other = Build(ManyTexts(100), 10, 2).value();
  ASSERT_EQ(a.examples.size(), 10u);
  EXPECT_EQ(a.indices, again.indices);
  EXPECT_NE(a.indices, other.indices);
  EXPECT_TRUE(std::is_sorted(a.indices.begin(), a.indices.end()));
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(a.examples[i].text, absl::StrCat("text ", a.indices[i]));
  EXPECT_EQ(a.received, 100u);
  EXPECT_EQ(a.digest, other.digest) << "of what was received, not of what was drawn";
}

TEST(DatasetTest, NothingIsDrawnOfARetrievalTask) {
  std::vector<Example> examples;
  for (int i = 0; i < 50; ++i) examples.push_back(Passage(absl::StrCat(i), absl::StrCat("passage ", i)));
  examples.push_back(Query("q", {"7"}));
  EXPECT_EQ(Build(examples, 10)->examples.size(), 51u);
}

// Whatever differs in the data differs in the digest, also where fields laid side by side would read the same.
TEST(DatasetTest, TheDigestTellsDataSetsApart) {
  const std::vector<std::vector<Example>> sets = {
      {Text("ab"), Text("c")},
      {Text("a"), Text("bc")},
      {Text("c"), Text("ab")},
      {Text("ab"), Text("c"), Text("c")},
      {Labelled("ab", "x"), Labelled("c", "y"), Labelled("c", "y")},
      {Labelled("ab", "y"), Labelled("c", "x"), Labelled("c", "y")},
      {Pair("ab", "x", 1), Pair("c", "y", 1)},
      {Pair("ab", "x", 1), Pair("c", "y", 1.0000000000000002)},
      {Pair("ab", "x"), Pair("c", "y")},
      {Passage("1", "ab"), Passage("2", "c")},
      {Passage("1", "ab"), Passage("3", "c")},
      {Passage("1", "ab"), Passage("2", "c"), Query("q", {"1"})},
      {Passage("1", "ab"), Passage("2", "c"), Query("q", {"1", "2"})},
  };
  std::vector<std::string> digests;
  for (const auto& examples : sets) digests.push_back(Build(examples).value().digest);
  EXPECT_THAT(digests, Each(testing::MatchesRegex("[0-9a-f]{64}")));
  EXPECT_EQ(std::set<std::string>(digests.begin(), digests.end()).size(), sets.size());
  EXPECT_EQ(Build(sets[0]).value().digest, digests[0]);
}

}  // namespace
}  // namespace midlayer
