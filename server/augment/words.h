// Texts in words and characters. Text is UTF-8; a byte that is none is a character of its own. Thread-safe.
//
// A character is a grapheme cluster (UAX #29): what a reader takes for one, however many code points.
#ifndef MIDLAYER_SERVER_AUGMENT_WORDS_H_
#define MIDLAYER_SERVER_AUGMENT_WORDS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace midlayer {

enum class CharacterKind {
  kSpace,
  kWord,   // letters, numbers and connectors such as "_", by the Unicode category of the first code point
  kOther,  // punctuation, symbols, emoji, …
};

// Views into the text.
struct Character {
  std::string_view text;
  char32_t first = 0;  // code point; U+FFFD for a byte that is not UTF-8
  CharacterKind kind = CharacterKind::kOther;
};
struct Token {
  std::string_view text;
  bool word = false;
};

// All characters in order. A space with a mark on it is no kSpace.
std::vector<Character> Characters(std::string_view text);

// Words, that is, longest runs of kWord, and every kOther by itself; spaces are left out.
std::vector<Token> SplitWords(std::string_view text);

// Joins tokens by spaces, but for none before closing punctuation (".", ",", ")", …), none after opening punctuation,
// and none around wide punctuation ("。"). Not the inverse of SplitWords: "It's" comes back as "It ' s".
std::string JoinWords(absl::Span<const std::string> tokens);

// One code point as UTF-8; U+FFFD for what is none.
std::string Encode(char32_t code);

// Punctuation that goes with what follows: "(", "«".
bool IsOpening(char32_t code);
// ".", "!", "?", "…", "。" and their like in other scripts.
bool EndsSentence(char32_t code);
// Han.
bool IsIdeograph(char32_t code);
// Of a script that puts no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
bool IsUnspaced(char32_t code);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_AUGMENT_WORDS_H_
