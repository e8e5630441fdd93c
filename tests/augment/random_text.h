// Random texts out of whatever is hard about Unicode.
#ifndef MIDLAYER_TESTS_AUGMENT_RANDOM_TEXT_H_
#define MIDLAYER_TESTS_AUGMENT_RANDOM_TEXT_H_

#include <string>

#include "server/augment/words.h"
#include "server/base/random.h"

namespace midlayer {

// Any code point but surrogates.
inline std::string AnyCodePoint(Random& random) {
  const uint64_t index = random.Index(0x110000 - 0x800);
  return Encode(static_cast<char32_t>(index < 0xD800 ? index : index + 0x800));
}

// Up to `most` pieces: words, syllables composed and not, ideographs, marks, joined emoji, flags, spaces, anything.
inline std::string RandomText(Random& random, size_t most) {
  // clang-format off
  static const char* const kPieces[] = {
      "word", "a", "Tree", "it's", " ", " ", " ", "  ", "\n", "\r\n", "\u00a0", ". ", ", ", "(", ") ", "\"", "3.14",
      "_x", "안녕하세요", "값", "각", "한글", "ㅋㅋㅋㅋ", "학교에서 ", "漢字", "。", "、", "「", "」", "ひらがな", "カー",
      "ภาษาไทย", "Привет", "мир", "e\u0301", "\u0301", " \u0308", "नमस्ते", "👩‍👩‍👧", "👍🏽", "🇰🇷", "🇰", "\u200d",
      "\u200b", "\u0600", "ﬁ", "ß", "İ", "\u1100", "\u1161\u11a8"};
  // clang-format on
  std::string text;
  const uint64_t count = random.Index(most + 1);
  for (uint64_t i = 0; i < count; ++i) {
    text += random.Index(8) == 0 ? AnyCodePoint(random) : kPieces[random.Index(std::size(kPieces))];
  }
  return text;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_AUGMENT_RANDOM_TEXT_H_
