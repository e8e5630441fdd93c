// Syllables: taken apart, put together, changed by one jamo.
#include "server/augment/hangul.h"

#include <set>

#include "gtest/gtest.h"
#include "server/augment/words.h"

namespace midlayer {
namespace {

int Differences(const Syllable& a, const Syllable& b) {
  return (a.initial != b.initial) + (a.medial != b.medial) + (a.last != b.last);
}

Syllable Parsed(std::string_view text) { return ParseSyllable(text).value_or(Syllable{-1, -1, -1}); }

// All that a function makes of a syllable in many tries.
template <typename Change>
std::set<std::string> Outcomes(std::string_view syllable, Change change) {
  Random random(3);
  std::set<std::string> outcomes;
  for (int i = 0; i < 2000; ++i) outcomes.insert(Encode(Compose(change(Parsed(syllable), random))));
  return outcomes;
}

TEST(HangulTest, EverySyllableComesBack) {
  for (char32_t code = 0xAC00; code <= 0xD7A3; ++code) {
    const auto syllable = ParseSyllable(Encode(code));
    ASSERT_TRUE(syllable.has_value()) << static_cast<uint32_t>(code);
    ASSERT_EQ(Compose(*syllable), code);
  }
  EXPECT_EQ(Parsed("한"), (Syllable{18, 0, 4}));
  EXPECT_EQ(JamoCount(Parsed("한")), 3);
  EXPECT_EQ(JamoCount(Parsed("가")), 2);
}

TEST(HangulTest, TakesConjoiningJamoToo) {
  EXPECT_EQ(Parsed("\u1112\u1161\u11ab"), Parsed("한"));
  EXPECT_EQ(Parsed("\u1100\u1161"), Parsed("가"));
  EXPECT_EQ(Parsed("\u1112\u1175\u11c2"), Parsed("힣"));
}

TEST(HangulTest, NothingElseIsASyllable) {
  for (const char* text : {"", "a", "ㄱ", "漢", "가가", "가\u11a8", "\u1100", "\u1100\u1161\u11a7", "\u1161\u1100",
                           "\u1113\u1161", "\ud7b0", "abc", "가\u0301", "\xea\xb0", "\xea\xb0\xff"}) {
    EXPECT_FALSE(ParseSyllable(text).has_value()) << text;
  }
}

TEST(HangulTest, ChangesOneJamoAndKeepsTheirNumber) {
  Random random(4);
  for (char32_t code = 0xAC00; code <= 0xD7A3; ++code) {
    const Syllable syllable = Parsed(Encode(code));
    for (const auto change : {WithRandomJamo, WithNeighbourJamo}) {
      const Syllable changed = change(syllable, random);
      ASSERT_EQ(Differences(syllable, changed), 1) << static_cast<uint32_t>(code);
      ASSERT_EQ(JamoCount(changed), JamoCount(syllable)) << static_cast<uint32_t>(code);
      ASSERT_EQ(Parsed(Encode(Compose(changed))), changed) << static_cast<uint32_t>(code);
    }
  }
}

TEST(HangulTest, RandomJamoAreAllOthers) {
  EXPECT_EQ(Outcomes("가", WithRandomJamo).size(), 18u + 20u);
  EXPECT_EQ(Outcomes("각", WithRandomJamo).size(), 18u + 20u + 26u);
}

TEST(HangulTest, NeighboursOnTheKeyboard) {
  // ㄱ is above ㄹ and ㅇ, between ㄷ and ㅅ; ㅏ is between ㅓ and ㅣ, below ㅑ and ㅐ, above ㅡ.
  EXPECT_EQ(Outcomes("가", WithNeighbourJamo),
            (std::set<std::string>{"다", "따", "사", "싸", "라", "아", "갸", "개", "걔", "거", "기", "그"}));
  // Of two keys one is missed: ㅘ gives ㅙ and ㅚ, ㄺ gives ㄽ; the other misses make no jamo of their kind.
  EXPECT_EQ(Outcomes("왉", WithNeighbourJamo),
            (std::set<std::string>{"돩", "똵", "괅", "꽑", "놝", "뢁", "퇅", "촭", "왥", "욁", "왌"}));
}

}  // namespace
}  // namespace midlayer
