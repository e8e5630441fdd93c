// Words and characters of texts in many scripts.
#include "server/augment/words.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/utf8.h"
#include "tests/augment/random_text.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Texts(const std::vector<Character>& characters) {
  std::vector<std::string> texts;
  for (const Character& character : characters) texts.emplace_back(character.text);
  return texts;
}

// Words as they are, others in angle brackets.
std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (const Token& token : SplitWords(text)) {
    words.push_back(token.word ? std::string(token.text) : "<" + std::string(token.text) + ">");
  }
  return words;
}

std::string Joined(std::string_view text) {
  std::vector<std::string> pieces;
  for (const Token& token : SplitWords(text)) pieces.emplace_back(token.text);
  return JoinWords(pieces);
}

TEST(CharactersTest, AreGraphemeClusters) {
  EXPECT_THAT(Texts(Characters("")), IsEmpty());
  EXPECT_THAT(Texts(Characters("ae\u0301x")), ElementsAre("a", "e\u0301", "x"));
  EXPECT_THAT(Texts(Characters("👩‍👩‍👧👍🏽🇰🇷🇫🇷!")),
              ElementsAre("👩‍👩‍👧", "👍🏽", "🇰🇷", "🇫🇷", "!"));
  EXPECT_THAT(Texts(Characters("가\u1100\u1161\u11a8\r\n")), ElementsAre("가", "\u1100\u1161\u11a8", "\r\n"));
  EXPECT_THAT(Texts(Characters("a\xff\xe4\xb8")), ElementsAre("a", "\xff", "\xe4", "\xb8"));
}

TEST(CharactersTest, HaveAKind) {
  const struct {
    const char* text;
    CharacterKind kind;
  } cases[] = {{"a", CharacterKind::kWord},        {"_", CharacterKind::kWord},       {"٣", CharacterKind::kWord},
               {"漢", CharacterKind::kWord},       {"e\u0301", CharacterKind::kWord}, {"½", CharacterKind::kWord},
               {" ", CharacterKind::kSpace},       {"\u3000", CharacterKind::kSpace}, {"\r\n", CharacterKind::kSpace},
               {" \u0301", CharacterKind::kOther}, {"\u0301", CharacterKind::kOther}, {"-", CharacterKind::kOther},
               {"€", CharacterKind::kOther},       {"👍", CharacterKind::kOther},     {"\x01", CharacterKind::kOther},
               {"\xff", CharacterKind::kOther}};
  for (const auto& test : cases) {
    const std::vector<Character> characters = Characters(test.text);
    ASSERT_EQ(characters.size(), 1u) << test.text;
    EXPECT_EQ(characters[0].kind, test.kind) << test.text;
  }
}

TEST(SplitWordsTest, KeepsPunctuationAsTokensOfItsOwn) {
  EXPECT_THAT(Words("It's 3.14,  (ok)!\n"),
              ElementsAre("It", "<'>", "s", "3", "<.>", "14", "<,>", "<(>", "ok", "<)>", "<!>"));
  EXPECT_THAT(Words("안녕하세요, 세계!"), ElementsAre("안녕하세요", "<,>", "세계", "<!>"));
  EXPECT_THAT(Words("漢字、かな。"), ElementsAre("漢字", "<、>", "かな", "<。>"));
  EXPECT_THAT(Words("naïve cafe\u0301 नमस्ते"), ElementsAre("naïve", "cafe\u0301", "नमस्ते"));
  EXPECT_THAT(Words("👩‍👩‍👧👍🏽"), ElementsAre("<👩‍👩‍👧>", "<👍🏽>"));
  EXPECT_THAT(Words(" \t\n"), IsEmpty());
}

TEST(JoinWordsTest, PutsSpacesBackButForPunctuation) {
  EXPECT_EQ(Joined("It's"), "It ' s");
  EXPECT_EQ(Joined("Well ,  (that) is   all ."), "Well, (that) is all.");
  EXPECT_EQ(Joined("50% of “it”; no?!"), "50% of “it”; no?!");
  EXPECT_EQ(Joined("彼は「はい。」と言った。次"), "彼は「はい。」と言った。次");
  EXPECT_EQ(Joined("a👍b"), "a 👍 b");
  EXPECT_EQ(Joined(""), "");
  EXPECT_EQ(JoinWords({"", "a", "", "b"}), "a b");
}

// Characters and tokens are parts of the text, in order, and only spaces are left out.
TEST(WordsTest, CoverRandomTexts) {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = RandomText(random, 30);
    std::string all, without_spaces, tokens;
    for (const Character& character : Characters(text)) {
      ASSERT_TRUE(IsUtf8(character.text, nullptr)) << text;
      all += character.text;
      if (character.kind != CharacterKind::kSpace) without_spaces += character.text;
    }
    for (const Token& token : SplitWords(text)) tokens += token.text;
    ASSERT_EQ(all, text);
    ASSERT_EQ(tokens, without_spaces);
  }
}

TEST(EncodeTest, IsUtf8) {
  EXPECT_EQ(Encode(U'a'), "a");
  EXPECT_EQ(Encode(U'é'), "é");
  EXPECT_EQ(Encode(U'한'), "한");
  EXPECT_EQ(Encode(U'👍'), "👍");
  EXPECT_EQ(Encode(0xD800), "\uFFFD");
  EXPECT_EQ(Encode(0x110000), "\uFFFD");
}

}  // namespace
}  // namespace midlayer
