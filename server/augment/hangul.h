// Korean syllables, taken apart into jamo (Unicode 3.12) and changed by one. Thread-safe.
#ifndef MIDLAYER_SERVER_AUGMENT_HANGUL_H_
#define MIDLAYER_SERVER_AUGMENT_HANGUL_H_

#include <optional>
#include <string_view>

#include "server/base/random.h"

namespace midlayer {

// Indices in Unicode's order: 19 initials, 21 medials, 28 finals of which 0 is none.
struct Syllable {
  int initial = 0;
  int medial = 0;
  int last = 0;

  bool operator==(const Syllable&) const = default;
};

// The syllable that one character is, composed (U+AC00…U+D7A3) or of two or three conjoining jamo of modern Korean;
// nullopt for any other text.
std::optional<Syllable> ParseSyllable(std::string_view character);

// Its composed code point.
char32_t Compose(const Syllable& syllable);

// How many jamo it has: 2 or 3.
inline int JamoCount(const Syllable& syllable) { return syllable.last == 0 ? 2 : 3; }

// With one of its jamo, each as likely, replaced by another of its kind, each as likely.
Syllable WithRandomJamo(const Syllable& syllable, Random& random);

// With one of its jamo replaced as by a finger that hits the key beside on the two-set
// keyboard, where the result is a jamo of its kind. For a jamo of two keys ("ㅘ", "ㄺ") one key is missed.
Syllable WithNeighbourJamo(const Syllable& syllable, Random& random);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_AUGMENT_HANGUL_H_
