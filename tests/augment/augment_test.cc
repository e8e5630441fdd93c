// Views of texts: what each step changes, how much, that a seed always gives the same, and that nothing breaks Unicode.
#include "server/augment/augment.h"

#include <algorithm>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/augment/hangul.h"
#include "server/augment/words.h"
#include "server/base/utf8.h"
#include "tests/augment/random_text.h"

namespace midlayer {
namespace {

using ::testing::Contains;

using Step = std::string (*)(std::string_view, Random&, const AugmentOptions&);

constexpr Step kSteps[] = {SplitAugment, RandomCharAugment, KeyboardAugment};

std::string Apply(Step step, std::string_view text, uint64_t seed) {
  Random random(seed);
  return step(text, random, {});
}

std::string Joined(std::string_view text) {
  std::vector<std::string> pieces;
  for (const Token& token : SplitWords(text)) pieces.emplace_back(token.text);
  return JoinWords(pieces);
}

std::vector<std::string> CharactersOf(std::string_view text, bool spaces) {
  std::vector<std::string> characters;
  for (const Character& character : Characters(text)) {
    if (spaces || character.kind != CharacterKind::kSpace) characters.emplace_back(character.text);
  }
  return characters;
}

std::string WithoutSpaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

// Words between spaces.
std::vector<std::string> Chunks(std::string_view text) {
  std::vector<std::string> chunks = {""};
  for (const Character& character : Characters(text)) {
    if (character.kind != CharacterKind::kSpace) {
      chunks.back() += character.text;
    } else if (!chunks.back().empty()) {
      chunks.emplace_back();
    }
  }
  if (chunks.back().empty()) chunks.pop_back();
  return chunks;
}

// At how many places two lists differ; SIZE_MAX for lists of different sizes.
size_t Differences(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (a.size() != b.size()) return SIZE_MAX;
  size_t differences = 0;
  for (size_t i = 0; i < a.size(); ++i) differences += a[i] != b[i] ? 1 : 0;
  return differences;
}

std::string Words(size_t count, std::string_view word) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text.append(i > 0 ? " " : "").append(word);
  return text;
}

// What a seed gives must not change: results are stored and compared under it.
TEST(AugmentedViewTest, Pinned) {
  const struct {
    const char* text;
    uint64_t seed;
    uint64_t view;
    const char* expected;
  } cases[] = {
      {"The quick brown fox jumps over the lazy dog.", 0, 0, "The @)4ck brkwJ fox j E0-s ov er the la zy dog."},
      {"The quick brown fox jumps over the lazy dog.", 0, 1, "The LjDcj bro wn fox% um & s ov er the l azy dog."},
      {"The quick brown fox jumps over the lazy dog.", 1, 0, "The Kui ^ k bGo (n fox j ijbX ov er the la zy dog."},
      {"우리는 학교에서 한국어를 열심히 공부하고 있습니다.", 0, 0,
       "우 이낸 싹교애꺼 판굿처 를 졀삠삐 공 버햐고 있늡놰뒈."},
      {"우리는 학교에서 한국어를 열심히 공부하고 있습니다.", 7, 3,
       "우리 는 닸쓰쎄 서 한국어를 펼씸니 귯루따 고 닜슴니자."},
      {"Быстрая лиса прыгает через ленивую собаку.", 0, 0, "Быс трPR лиса пр ыгает чеkеJ л енивую соEаpу."},
      {"敏捷的棕色狐狸跳过了懒狗。然后睡着了。", 0, 0, "敏捷5h色狐0 跳过了懒狗。然 Y睡<了。"},
      {"Résumés naïvely café 👩‍👩‍👧!", 5, 0, "RjWuW és aawv ely baf $ 👩‍👩‍👧!"},
  };
  for (const auto& test : cases) EXPECT_EQ(AugmentedView(test.text, test.seed, test.view), test.expected);
}

TEST(AugmentTest, ThePinnedStepsOneByOne) {
  const char* const kText = "Layers between the first and the last often give better vectors.";
  const char* const kExpected[] = {"L ayers between the first and the l ast of ten give better v ectors.",
                                   "Laye3s between the first and the C6st oyteD give better vectKya.",
                                   "LaydEs between the first and the .zst octeH give better vectp4x."};
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Apply(kSteps[i], kText, 11), kExpected[i]);
}

TEST(AugmentTest, TextsWithoutAWordToChangeStayAsTheyAre) {
  for (const char* text : {"", "a", "I am  so  it 's", "...", "?!  -- ()", "\n", "👩‍👩‍👧👍🏽 🇰🇷",
                           "그 네 저", "漢字", "\xff\xfe"}) {
    for (const Step step : kSteps) EXPECT_EQ(Apply(step, text, 1), text);
    EXPECT_EQ(AugmentedView(text, 1, 1), text);
  }
}

TEST(AugmentTest, CountsOfWordsAndLetters) {
  const struct {
    size_t words;
    const char* word;
    size_t changed_words;
    size_t changed_letters;  // of a word, by the steps that replace
  } cases[] = {
      {1, "four", 1, 2},
      {3, "words", 1, 2},
      {4, "longer", 2, 2},
      {33, "sevenxx", 10, 3},
      {34, "four", 10, 2},
      {1000, "four", 10, 2},
      {1, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst", 1, 10},
      {1, "학교", 1, 2},
      {4, "한국말", 2, 3},
      {5, "나는", 2, 2},  // 5, 9 and 5 jamo
  };
  for (const auto& test : cases) {
    const std::string text = Words(test.words, test.word);
    for (uint64_t seed = 0; seed < 20; ++seed) {
      EXPECT_EQ(Chunks(Apply(SplitAugment, text, seed)).size(), test.words + test.changed_words) << text;
      for (const Step step : {RandomCharAugment, KeyboardAugment}) {
        const std::string changed = Apply(step, text, seed);
        // A replacement may be the character itself by chance where any is drawn.
        const size_t words = Differences(Chunks(text), Chunks(changed));
        const size_t letters = Differences(CharactersOf(text, true), CharactersOf(changed, true));
        if (step == KeyboardAugment) {
          EXPECT_EQ(words, test.changed_words) << changed;
          EXPECT_EQ(letters, test.changed_words * test.changed_letters) << changed;
        } else {
          EXPECT_LE(words, test.changed_words) << changed;
          EXPECT_LE(letters, test.changed_words * test.changed_letters) << changed;
          EXPECT_GE(letters, 1u) << changed;
        }
      }
    }
  }
}

TEST(AugmentTest, SplitsAnywhereButAtTheEnds) {
  std::set<std::string> english, korean;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    english.insert(Apply(SplitAugment, "abcde", seed));
    korean.insert(Apply(SplitAugment, "한국말", seed));
  }
  EXPECT_EQ(english, (std::set<std::string>{"a bcde", "ab cde", "abc de"}));
  EXPECT_EQ(korean, (std::set<std::string>{"한 국말", "한국 말"}));
}

TEST(AugmentTest, KeyboardLeavesAloneWhatIsOnNoKey) {
  EXPECT_EQ(Apply(KeyboardAugment, "Быстрая  лиса", 1), "Быстрая  лиса");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::string changed = Apply(KeyboardAugment, "éàüñöx", seed);
    EXPECT_EQ(changed.substr(0, changed.size() - 1), "éàüñö");
    EXPECT_NE(changed.back(), 'x');
  }
}

// A Korean text stays one: syllables, each changed by one jamo.
TEST(AugmentTest, KoreanStaysKorean) {
  const std::string text = "우리는 학교에서 한국어를 열심히 공부하고 있습니다";
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const std::string& character : CharactersOf(AugmentedView(text, seed, 0), false)) {
      EXPECT_TRUE(ParseSyllable(character).has_value()) << character;
    }
    const std::string changed = Apply(KeyboardAugment, text, seed);
    EXPECT_EQ(Characters(changed).size(), Characters(text).size());
    EXPECT_NE(changed, text);
  }
  // Typed on a Mac: conjoining jamo.
  const std::string apart = "\u1112\u1161\u11ab\u1100\u116e\u11a8\u1106\u1161\u11af";
  EXPECT_EQ(Characters(Apply(KeyboardAugment, apart, 1)).size(), 3u);
  EXPECT_NE(Apply(KeyboardAugment, apart, 1), apart);
}

TEST(AugmentTest, ViewsDifferBySeedAndByNumber) {
  const std::string text = Words(12, "different");
  std::set<std::string> views;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (uint64_t view = 0; view < 16; ++view) views.insert(AugmentedView(text, seed, view));
  }
  EXPECT_EQ(views.size(), 80u);
}

TEST(AugmentTest, OptionsDecide) {
  Random random(1);
  const AugmentOptions none = {.most_words = 0};
  EXPECT_EQ(KeyboardAugment("some words", random, none), "some words");
  const AugmentOptions all = {
      .word_share = 1, .letter_share = 1, .most_words = 99, .most_letters = 99, .fewest_letters = 1};
  EXPECT_EQ(Differences(CharactersOf("all of it", true), CharactersOf(KeyboardAugment("all of it", random, all), true)),
            7u);
}

// On any text: valid UTF-8, the same again, no more changes than the caps, clusters whole.
TEST(AugmentTest, HoldsOnRandomTexts) {
  Random texts(2);
  for (uint64_t i = 0; i < 3000; ++i) {
    const std::string text = RandomText(texts, 40);
    const std::string view = AugmentedView(text, i, 0);
    ASSERT_TRUE(IsUtf8(view, nullptr)) << text;
    ASSERT_EQ(view, AugmentedView(text, i, 0)) << text;
    const std::string split = Apply(SplitAugment, text, i);
    // Spaces are all that comes, and never within a character.
    const std::string base = split == text ? text : Joined(text);
    ASSERT_EQ(WithoutSpaces(split), WithoutSpaces(base)) << text;
    const std::vector<std::string> whole = CharactersOf(base, true);
    for (const std::string& character : CharactersOf(split, false)) ASSERT_THAT(whole, Contains(character)) << text;
    ASSERT_LE(Chunks(split).size(), Chunks(Joined(text)).size() + 10) << text;
    for (const Step step : {RandomCharAugment, KeyboardAugment}) {
      const std::string changed = Apply(step, text, i);
      ASSERT_TRUE(IsUtf8(changed, nullptr)) << text;
      const std::string before = changed == text ? text : Joined(text);
      ASSERT_LE(Differences(Chunks(before), Chunks(changed)), 10u) << text << "\n" << changed;
      ASSERT_LE(Differences(CharactersOf(before, true), CharactersOf(changed, true)), 100u) << text << "\n" << changed;
    }
  }
}

// A megabyte, of many words and of one, in well under the time that a test has.
TEST(AugmentTest, TakesLongTexts) {
  std::string many = Words(200'000, "word"), one(1'000'000, 'x'), marks = "e";
  while (marks.size() < 1'000'000) marks += "\u0301";
  for (const std::string& text : {many, one, marks}) {
    const std::string view = AugmentedView(text, 0, 0);
    EXPECT_GE(view.size(), text == marks ? 1u : text.size());
    EXPECT_LE(view.size(), text.size() + 30);
  }
}

}  // namespace
}  // namespace midlayer
