// Which keys lie beside each other. Thread-safe.
#ifndef MIDLAYER_SERVER_AUGMENT_KEYBOARD_H_
#define MIDLAYER_SERVER_AUGMENT_KEYBOARD_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace midlayer {

// One row of keys, of equal length with and without shift.
struct KeyRow {
  int indent;  // where its first key begins, in quarters of a key
  std::u32string_view plain;
  std::u32string_view shifted;
};

// What a finger that misses a key by one hits. Keys are beside each other in a row, or in rows one above the other
// where their middles are at most three quarters of a key apart sideways; each stands for both of its characters. Const
// once constructed.
class Keyboard {
 public:
  explicit Keyboard(absl::Span<const KeyRow> rows);

  // The characters of the keys around that of `character`, each once, in a fixed order; none where no key has it.
  std::u32string_view Neighbours(char32_t character) const;

 private:
  std::map<char32_t, std::u32string> neighbours_;
};

// The keyboard of the United States.
const Keyboard& Qwerty();
// The two-set keyboard of Korea (KS X 5002), as compatibility jamo (U+3131…U+3163).
const Keyboard& Dubeolsik();

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_AUGMENT_KEYBOARD_H_
