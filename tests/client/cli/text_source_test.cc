#include "client/cli/text_source.h"

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer::cli {
namespace {

using std::string_literals::operator""s;
using ::testing::ElementsAreArray;

// "3:text", and "3!what is wrong".
std::vector<std::string> ReadAll(TextSource& source) {
  std::vector<std::string> all;
  SourceText text;
  while (source.Next(&text)) {
    all.push_back(std::to_string(text.line) +
                  (text.status.ok() ? ":" + text.text : "!" + std::string(text.status.message())));
  }
  return all;
}

std::unique_ptr<TextSource> FromString(const std::string& input, InputFormat format) {
  return TextsFromLines(std::make_shared<std::istringstream>(input), format, static_cast<double>(input.size()));
}

struct Case {
  std::string input;
  std::vector<std::string> expected;
};

TEST(TextSourceTest, Text) {
  const Case cases[] = {
      {"", {}},
      {"\n", {}},
      {"one", {"1:one"}},
      {"one\n", {"1:one"}},
      {"one\ntwo", {"1:one", "2:two"}},
      {"one\r\ntwo\r\n", {"1:one", "2:two"}},
      {"one\r\n\r\n \t \ntwo", {"1:one", "4:two"}},
      {" one \n", {"1: one "}},
      {"a\rb\n", {"1:a\rb"}},
      {"\xEF\xBB\xBFone\n\xEF\xBB\xBFtwo\n", {"1:one", "2:\xEF\xBB\xBFtwo"}},
      {"\xEF\xBB\xBF\none\n", {"2:one"}},
      {"a\0b\n"s, {"1:a\0b"s}},
      {"gr\xC3\xBC\xC3\x9F\n", {"1:gr\xC3\xBC\xC3\x9F"}},
      {"ok\nb\xC3\nok", {"1:ok", "2!not UTF-8, at byte 2", "3:ok"}},
      {"\xFF\xFEo\0n\0"s, {"1!not UTF-8, at byte 1"}},
  };
  for (const Case& test : cases) {
    const auto source = FromString(test.input, InputFormat::kText);
    EXPECT_THAT(ReadAll(*source), ElementsAreArray(test.expected)) << test.input;
    EXPECT_EQ(source->position(), test.input.size()) << test.input;
    EXPECT_EQ(source->total(), test.input.size());
  }
}

TEST(TextSourceTest, JsonLines) {
  const Case cases[] = {
      {R"({"text":"one"})", {"1:one"}},
      {"{\"text\":\"one\"}\r\n\n{\"id\":7,\"text\":\"t\\nw\\u00fc\"}\n", {"1:one", "3:t\nw\xC3\xBC"}},
      {"\xEF\xBB\xBF{\"text\":\"one\"}\n", {"1:one"}},
      {R"({"text":""})", {"1:"}},
      {R"({"text":)", {"1!not JSON, at byte 9"}},
      {R"({"text":"a"} x)", {"1!not JSON, at byte 14"}},
      {R"({"text":"\ud800"})", {"1!not JSON, at byte 16"}},
      {"plain\n{\"text\":\"two\"}", {"1!not JSON, at byte 1", "2:two"}},
      {R"(["text"])", {"1!expected a JSON object, found array"}},
      {R"("text")", {"1!expected a JSON object, found string"}},
      {R"({"txt":"a"})", {"1!no member \"text\""}},
      {R"({"text":7})", {"1!\"text\": expected a string, found number"}},
      {R"({"text":null})", {"1!\"text\": expected a string, found null"}},
      {"{\"text\":\"\xFF\"}", {"1!not UTF-8, at byte 10"}},
      {R"({"text":"a","n":1e999})", {"1!a number that is too large"}},
      {"{\"n\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}", {"1!nested deeper than 100"}},
  };
  for (const Case& test : cases) {
    EXPECT_THAT(ReadAll(*FromString(test.input, InputFormat::kJsonLines)), ElementsAreArray(test.expected))
        << test.input;
  }
}

TEST(TextSourceTest, LongLines) {
  const std::string longest(kMaxLineBytes, 'a');
  EXPECT_THAT(ReadAll(*FromString(longest + "\nb", InputFormat::kText)), ElementsAreArray({"1:" + longest, "2:b"s}));
  EXPECT_THAT(ReadAll(*FromString(longest + "a\nb", InputFormat::kText)),
              ElementsAreArray({"1!longer than 16 MiB", "2:b"}));
  EXPECT_THAT(ReadAll(*FromString(std::string(kMaxLineBytes + 1, ' '), InputFormat::kText)),
              ElementsAreArray({"1!longer than 16 MiB"}));
}

TEST(TextSourceTest, HasMoreNow) {
  const auto source = FromString("a\nb\n", InputFormat::kText);
  SourceText text;
  EXPECT_TRUE(source->Next(&text) && source->HasMoreNow());
  EXPECT_TRUE(source->Next(&text) && !source->HasMoreNow());
  EXPECT_FALSE(source->Next(&text));
}

TEST(TextSourceTest, Arguments) {
  const auto source = TextsFromArguments({"one", "", "\xFF", "a\nb"});
  EXPECT_EQ(source->total(), 4);
  EXPECT_THAT(ReadAll(*source), ElementsAreArray({"1:one", "2:", "3!not UTF-8, at byte 1", "4:a\nb"}));
  EXPECT_EQ(source->position(), 4);
}

TEST(TextSourceTest, TextsAgainKeepTheirLines) {
  const auto source = TextsAgain({{7, "seven", {}}, {9, "", absl::InvalidArgumentError("wrong")}});
  EXPECT_THAT(ReadAll(*source), ElementsAreArray({"7:seven", "9!wrong"}));
}

}  // namespace
}  // namespace midlayer::cli
