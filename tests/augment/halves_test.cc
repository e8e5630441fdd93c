// Texts cut in halves, and halves without the words that they share.
#include "server/augment/halves.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/augment/words.h"
#include "server/base/utf8.h"
#include "tests/augment/random_text.h"

namespace midlayer {
namespace {

using ::testing::Optional;
using ::testing::Pair;

TEST(SplitInHalvesTest, CutsNearTheMiddle) {
  const struct {
    const char* what;
    const char* text;
    const char* first;
    const char* second;
  } cases[] = {
      {"even", "one two three four", "one two", "three four"},
      {"of two equally near the first", "one two three four five", "one two", "three four five"},
      {"spaces go", "  one two \n\t three four ", "  one two", "three four "},
      {"a sentence end in the middle third", "a b c d. e f g h i", "a b c d.", "e f g h i"},
      {"none there", "a. b c d e f g h. i j", "a. b c d e", "f g h. i j"},
      {"the nearest of two", "a b c d. e f. g h i j k", "a b c d. e f.", "g h i j k"},
      {"in brackets and quotes", "(a b c.) \"d e f\"", "(a b c.)", "\"d e f\""},
      {"no end within a number", "we paid 3.14 for it", "we paid", "3.14 for it"},
      {"punctuation is no word", "one - two - three - four", "one - two -", "three - four"},
      {"question", "is it so? yes it is", "is it so?", "yes it is"},
      {"Korean", "우리는 학교에서 한국어를 공부합니다", "우리는 학교에서", "한국어를 공부합니다"},
      {"Chinese", "敏捷的狐狸跳过了懒狗", "敏捷的狐狸", "跳过了懒狗"},
      {"Chinese sentences", "狐狸跳过了。懒狗睡着了", "狐狸跳过了。", "懒狗睡着了"},
      {"Japanese quotes", "今日は天気「晴れ」のち雨", "今日は天気", "「晴れ」のち雨"},
      {"mixed", "GPU で 計算 する 方法", "GPU で 計", "算 する 方法"},
      {"clusters stay whole", "กำกำกำกำกำกำกำกำ", "กำกำกำกำ", "กำกำกำกำ"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(SplitInHalves(test.text), Optional(Pair(test.first, test.second))) << test.what;
  }
}

TEST(SplitInHalvesTest, ShortTextsAreNotCut) {
  for (const char* text :
       {"", "one", "one two three", "- - - - -", "漢字漢字漢字漢", "two words 漢字漢", "👍👍👍👍👍👍👍👍👍", "\xff"}) {
    EXPECT_EQ(SplitInHalves(text), std::nullopt) << text;
  }
}

TEST(SplitInHalvesTest, HalvesOfRandomTextsAreTheText) {
  Random random(5);
  int cut = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = RandomText(random, 40);
    const auto halves = SplitInHalves(text);
    if (!halves.has_value()) continue;
    ++cut;
    const auto& [first, second] = *halves;
    ASSERT_TRUE(IsUtf8(first, nullptr) && IsUtf8(second, nullptr)) << text;
    ASSERT_TRUE(text.starts_with(first) && text.ends_with(second)) << text;
    ASSERT_TRUE(!SplitWords(first).empty() && !SplitWords(second).empty()) << text;
    const std::string_view between =
        std::string_view(text).substr(first.size(), text.size() - first.size() - second.size());
    for (const Character& character : Characters(between)) ASSERT_EQ(character.kind, CharacterKind::kSpace) << text;
    ASSERT_EQ(Characters(first).size() + Characters(between).size() + Characters(second).size(),
              Characters(text).size());
  }
  EXPECT_GT(cut, 1000);
}

TEST(SplitInHalvesTest, TakesLongTexts) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "word ";
  const auto halves = SplitInHalves(text);
  ASSERT_TRUE(halves.has_value());
  EXPECT_EQ(halves->first.size() + 1, halves->second.size());
  EXPECT_EQ(MaskSharedWords(halves->first, halves->second), std::nullopt);
}

TEST(MaskSharedWordsTest, DropsWhatBothHave) {
  const struct {
    const char* what;
    const char* first;
    const char* second;
    const char* masked_first;
    const char* masked_second;
  } cases[] = {
      {"one word", "the cat sat", "on the mat", "cat sat", "on mat"},
      {"whatever the case", "The CAT sat", "a cat slept", "The sat", "a slept"},
      {"every time it comes", "no no yes", "no maybe no", "yes", "maybe"},
      {"punctuation stays", "Well, it rains.", "Yes, it does!", "Well, rains.", "Yes, does!"},
      {"nothing shared", "one  two", "three", "one two", "three"},
      {"folding of Unicode", "STRASSE weit ÉTÉ", "Straße nah e\u0301te\u0301", "weit", "nah"},
      {"Korean", "학교 앞에서 만나", "학교 뒤에서 보자", "앞에서 만나", "뒤에서 보자"},
      {"Chinese characters one by one", "我喜欢猫", "你喜欢狗", "我猫", "你狗"},
      {"not parts of words", "car race", "carpet", "car race", "carpet"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(MaskSharedWords(test.first, test.second), Optional(Pair(test.masked_first, test.masked_second)))
        << test.what;
  }
}

TEST(MaskSharedWordsTest, AHalfWithoutAWordLeftIsNone) {
  EXPECT_EQ(MaskSharedWords("it is", "is it so"), std::nullopt);
  EXPECT_EQ(MaskSharedWords("is it so", "It is!"), std::nullopt);
  EXPECT_EQ(MaskSharedWords("", "a"), std::nullopt);
  EXPECT_EQ(MaskSharedWords("a", "..."), std::nullopt);
}

TEST(MaskSharedWordsTest, RandomTextsShareNothingAfterwards) {
  Random random(6);
  int masked = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string first = RandomText(random, 12), second = RandomText(random, 12);
    const auto halves = MaskSharedWords(first, second);
    if (!halves.has_value()) continue;
    ++masked;
    ASSERT_TRUE(IsUtf8(halves->first, nullptr) && IsUtf8(halves->second, nullptr)) << first << "\n" << second;
    EXPECT_EQ(MaskSharedWords(halves->first, halves->second), halves) << first << "\n" << second;
  }
  EXPECT_GT(masked, 500);
}

}  // namespace
}  // namespace midlayer
