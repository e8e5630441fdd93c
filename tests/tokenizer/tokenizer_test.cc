#include "server/tokenizer/tokenizer.h"

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using std::string_view_literals::operator""sv;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTemplate[] = R"({
  "type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
  "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
  "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                     "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}})";

// One token a word. Truncation to 4 and padding to 16 stand in the file and must be ignored. The largest id is an added
// token's, above a gap.
std::string Json(std::string_view post_processor = kTemplate, std::string_view normalizer = "null") {
  return absl::StrReplaceAll(R"({
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 3,
                "pad_type_id": 0, "pad_token": "[PAD]"},
    "added_tokens": [{"id": 2, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": NORMALIZER,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": POST,
    "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "[UNK]",
              "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "a": 10, "b": 11, "c": 12, "d": 13, "e": 14,
                        "f": 15, "straße": 20, "σας": 21}}})",
                             {{"NORMALIZER", absl::string_view(normalizer.data(), normalizer.size())},
                              {"POST", absl::string_view(post_processor.data(), post_processor.size())}});
}

std::unique_ptr<Tokenizer> LoadOrDie(std::string_view json, Tokenizer::Options options = {.max_tokens = 5}) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(json, options);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(TokenizerTest, AddsSpecialTokensAndIgnoresTheFilesTruncationAndPadding) {
  const auto tokenizer = LoadOrDie(Json(), {.max_tokens = 8});
  const Encoding encoding = tokenizer->Encode("a b c d e f", Truncation::kNone).value();
  EXPECT_THAT(encoding.ids, ElementsAre(1, 10, 11, 12, 13, 14, 15, 2));
  EXPECT_EQ(encoding.untruncated_tokens, 8);
  EXPECT_FALSE(encoding.truncated);
  EXPECT_THAT(tokenizer->Encode("a", Truncation::kNone)->ids, ElementsAre(1, 10, 2));
  EXPECT_EQ(tokenizer->vocab_size(), 22);
}

TEST(TokenizerTest, Truncates) {
  const auto tokenizer = LoadOrDie(Json());
  const struct {
    std::string_view text;
    Truncation truncation;
    std::vector<int32_t> ids;
    int untruncated;
  } cases[] = {
      {"a b c d e f", Truncation::kRight, {1, 10, 11, 12, 2}, 8},
      {"a b c d e f", Truncation::kLeft, {1, 13, 14, 15, 2}, 8},
      {"a b c d", Truncation::kLeft, {1, 11, 12, 13, 2}, 6},
      {"a b c", Truncation::kLeft, {1, 10, 11, 12, 2}, 5},
      {"a b c", Truncation::kRight, {1, 10, 11, 12, 2}, 5},
      {"a b c", Truncation::kNone, {1, 10, 11, 12, 2}, 5},
      {"a", Truncation::kLeft, {1, 10, 2}, 3},
      {"", Truncation::kRight, {1, 2}, 2},
      {"", Truncation::kNone, {1, 2}, 2},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(absl::StrCat("\"", std::string(test.text), "\" ", static_cast<int>(test.truncation)));
    const absl::StatusOr<Encoding> encoding = tokenizer->Encode(test.text, test.truncation);
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_EQ(encoding->ids, test.ids);
    EXPECT_EQ(encoding->untruncated_tokens, test.untruncated);
    EXPECT_EQ(encoding->truncated, test.untruncated > static_cast<int>(test.ids.size()));
  }
}

TEST(TokenizerTest, TooLongNamesBothLengths) {
  const absl::Status status = LoadOrDie(Json())->Encode("a b c d e f", Truncation::kNone).status();
  EXPECT_EQ(status, absl::InvalidArgumentError("expected at most 5 tokens, found 8; set truncate or shorten the text"));
}

TEST(TokenizerTest, RefusesWhatIsNotUtf8) {
  const auto tokenizer = LoadOrDie(Json());
  for (const Truncation truncation : {Truncation::kNone, Truncation::kLeft, Truncation::kRight}) {
    EXPECT_EQ(tokenizer->Encode("ab \xC0\x80", truncation).status(),
              absl::InvalidArgumentError("expected UTF-8, found an invalid sequence at byte 3"));
  }
}

TEST(TokenizerTest, NulIsACharacter) {
  const auto tokenizer = LoadOrDie(Json());
  EXPECT_THAT(tokenizer->Encode("a\0b c"sv, Truncation::kNone)->ids, ElementsAre(1, 0, 12, 2));
  EXPECT_THAT(tokenizer->Encode("\0"sv, Truncation::kNone)->ids, ElementsAre(1, 0, 2));
}

TEST(TokenizerTest, LowercasesAllOfUnicode) {
  const auto plain = LoadOrDie(Json());
  const auto lower = LoadOrDie(Json(), {.max_tokens = 5, .lowercase = true});
  EXPECT_THAT(plain->Encode("A STRASSE STRAẞE", Truncation::kNone)->ids, ElementsAre(1, 0, 0, 0, 2));
  // The last sigma of a word has a form of its own, as in Python's str.lower().
  EXPECT_THAT(lower->Encode("A STRAẞE ΣΑΣ", Truncation::kNone)->ids, ElementsAre(1, 10, 20, 21, 2));
}

TEST(TokenizerTest, SpecialTokensInTheTextAreText) {
  const auto tokenizer = LoadOrDie(Json());
  EXPECT_THAT(tokenizer->Encode("a [SEP] b c", Truncation::kLeft)->ids, ElementsAre(1, 2, 11, 12, 2));
}

TEST(TokenizerTest, PromptTokens) {
  const auto tokenizer = LoadOrDie(Json());
  EXPECT_EQ(tokenizer->PromptTokens("a b ").value(), 3);
  EXPECT_EQ(tokenizer->PromptTokens("a [SEP]").value(), 3);
  EXPECT_EQ(tokenizer->PromptTokens("").value(), 1);
  EXPECT_EQ(tokenizer->PromptTokens("a b c d").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tokenizer->PromptTokens("\xFF").status().code(), absl::StatusCode::kInvalidArgument);
  const auto bare = LoadOrDie(Json("null"));
  EXPECT_EQ(bare->PromptTokens("a b").value(), 2);
  EXPECT_EQ(bare->PromptTokens(" ").value(), 0);
}

TEST(TokenizerTest, WithoutSpecialTokens) {
  const auto tokenizer = LoadOrDie(Json("null"), {.max_tokens = 2});
  EXPECT_THAT(tokenizer->Encode("a b c", Truncation::kLeft)->ids, ElementsAre(11, 12));
  for (const std::string_view empty : {"", " ", "\n\t"}) {
    EXPECT_EQ(tokenizer->Encode(empty, Truncation::kNone).status(),
              absl::InvalidArgumentError("expected at least 1 token, found 0"));
  }
}

TEST(TokenizerTest, OtherPostProcessors) {
  EXPECT_THAT(LoadOrDie(Json(R"({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})"))
                  ->Encode("a b c d", Truncation::kRight)
                  ->ids,
              ElementsAre(1, 10, 11, 12, 2));
  const std::string sequence =
      absl::StrCat(R"({"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": true,)",
                   R"("trim_offsets": false, "use_regex": true}, )", kTemplate, "]}");
  EXPECT_THAT(LoadOrDie(Json(sequence))->Encode("a b c d", Truncation::kLeft)->ids, ElementsAre(1, 11, 12, 13, 2));
}

TEST(TokenizerTest, SeveralLeadingSpecialTokens) {
  const auto tokenizer = LoadOrDie(absl::StrReplaceAll(
      Json(), {{R"("ids": [1], "tokens": ["[CLS]"])", R"("ids": [1, 3], "tokens": ["[CLS]", "[PAD]"])"}}));
  EXPECT_THAT(tokenizer->Encode("a b c d", Truncation::kLeft)->ids, ElementsAre(1, 3, 12, 13, 2));
  EXPECT_EQ(tokenizer->PromptTokens("a").value(), 3);
}

// An id may stand in the post-processor alone; the model must have a row for it all the same.
TEST(TokenizerTest, VocabSizeCoversThePostProcessor) {
  const auto tokenizer = LoadOrDie(Json(R"({"type": "BertProcessing", "sep": ["[SEP]", 99], "cls": ["[CLS]", 1]})"));
  EXPECT_EQ(tokenizer->vocab_size(), 100);
}

TEST(TokenizerTest, MaxTokensMustLeaveRoom) {
  for (const int max_tokens : {-1, 0, 1, 2}) {
    const absl::Status status = Tokenizer::Load(Json(), {.max_tokens = max_tokens}).status();
    EXPECT_EQ(status, absl::InvalidArgumentError(absl::StrCat(
                          "max_tokens: expected more than the 2 special tokens of the tokenizer, found ", max_tokens)));
  }
  EXPECT_FALSE(Tokenizer::Load(Json("null"), {.max_tokens = 0}).ok());
  EXPECT_THAT(LoadOrDie(Json(), {.max_tokens = 3})->Encode("a b c", Truncation::kLeft)->ids, ElementsAre(1, 12, 2));
}

TEST(TokenizerTest, BadJson) {
  const std::string twice = R"({"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
      "special_tokens": {}})";
  // The crate panics on two templates in a row.
  const std::string panics = absl::StrCat(R"({"type": "Sequence", "processors": [)", kTemplate, ",", kTemplate, "]}");
  const std::string cases[] = {
      "",
      std::string(1, '\0'),
      "{}",
      "null",
      "[]",
      "not json",
      "\xFF\xFE",
      Json().substr(0, 300),
      Json("{\"type\": \"NoSuchProcessor\"}"),
      Json(kTemplate, R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"),
      absl::StrReplaceAll(Json(), {{"\"f\": 15", "\"f\": -15"}}),
      absl::StrReplaceAll(Json(), {{"\"f\": 15", "\"f\": 2147483647"}}),
      absl::StrReplaceAll(Json(), {{"\"f\": 15", "\"f\": 2147483648"}}),
      absl::StrReplaceAll(Json(), {{"\"f\": 15", "\"f\": 4294967296"}}),
      absl::StrReplaceAll(Json(), {{"\"ids\": [1]", "\"ids\": [4000000000]"}}),
      absl::StrReplaceAll(Json(), {{"WordLevel", "NoSuchModel"}}),
      Json(twice),
      Json(panics),
      std::string(100000, '['),
  };
  for (const std::string& json : cases) {
    const absl::Status status = Tokenizer::Load(json, {.max_tokens = 5}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json.substr(0, 1500);
    EXPECT_THAT(ErrorOf(status), HasSubstr("tokenizer.json: expected ")) << json.substr(0, 1500);
  }
}

// A vocabulary without a token for what it does not know.
TEST(TokenizerTest, AWordThatCannotBeTokenizedIsAnError) {
  const auto tokenizer = LoadOrDie(absl::StrReplaceAll(Json(), {{R"("unk_token": "[UNK]")", R"("unk_token": "?")"}}));
  EXPECT_TRUE(tokenizer->Encode("a b", Truncation::kNone).ok());
  EXPECT_EQ(tokenizer->Encode("a zzz", Truncation::kNone).status().code(), absl::StatusCode::kInternal);
}

TEST(TokenizerTest, AnyDamageIsAnErrorOrATokenizer) {
  const std::string json = Json();
  for (size_t i = 0; i < json.size(); ++i) {
    for (const char byte : {'\0', '"', '9', '}', static_cast<char>(json[i] ^ 0x80), static_cast<char>(json[i] ^ 1)}) {
      std::string damaged = json;
      damaged[i] = byte;
      const auto tokenizer = Tokenizer::Load(damaged, {.max_tokens = 5});
      if (tokenizer.ok()) (void)(*tokenizer)->Encode("a b c d zz [SEP]", Truncation::kLeft);
    }
    (void)Tokenizer::Load(json.substr(0, i), {.max_tokens = 5});
  }
}

TEST(TokenizerTest, FourThreadsShareOne) {
  const auto tokenizer = LoadOrDie(Json());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&tokenizer, t] {
      for (int i = 0; i < 2000; ++i) {
        const bool left = (i + t) % 2 == 0;
        const auto encoding = tokenizer->Encode("a b c d e f", left ? Truncation::kLeft : Truncation::kRight);
        ASSERT_TRUE(encoding.ok()) << encoding.status();
        ASSERT_EQ(encoding->ids[1], left ? 13 : 10);
        ASSERT_FALSE(tokenizer->Encode("\xFF", Truncation::kLeft).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace midlayer
