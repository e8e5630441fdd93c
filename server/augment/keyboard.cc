#include "server/augment/keyboard.h"

#include <cstddef>
#include <cstdlib>
#include <vector>

namespace midlayer {
namespace {

// Where the rows begin on a keyboard, in quarters of a key: each is a little to the right of the one above.
constexpr int kDigits = 0, kUpper = 6, kHome = 7, kLower = 9;

struct Key {
  int row;
  int x;
  char32_t plain;
  char32_t shifted;
};

bool Beside(const Key& a, const Key& b) {
  const int sideways = std::abs(a.x - b.x);
  return a.row == b.row ? sideways == 4 : std::abs(a.row - b.row) == 1 && sideways <= 3;
}

}  // namespace

Keyboard::Keyboard(absl::Span<const KeyRow> rows) {
  std::vector<Key> keys;
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t i = 0; i < rows[row].plain.size(); ++i) {
      keys.push_back({.row = static_cast<int>(row),
                      .x = rows[row].indent + 4 * static_cast<int>(i),
                      .plain = rows[row].plain[i],
                      .shifted = rows[row].shifted[i]});
    }
  }
  for (const Key& key : keys) {
    std::u32string around;
    for (const Key& other : keys) {
      if (!Beside(key, other)) continue;
      around += other.plain;
      if (other.shifted != other.plain) around += other.shifted;
    }
    neighbours_[key.plain] = around;
    neighbours_[key.shifted] = around;
  }
}

std::u32string_view Keyboard::Neighbours(char32_t character) const {
  const auto found = neighbours_.find(character);
  return found == neighbours_.end() ? std::u32string_view() : std::u32string_view(found->second);
}

const Keyboard& Qwerty() {
  static const KeyRow kRows[] = {{kDigits, U"`1234567890-=", U"~!@#$%^&*()_+"},
                                 {kUpper, U"qwertyuiop[]\\", U"QWERTYUIOP{}|"},
                                 {kHome, U"asdfghjkl;'", U"ASDFGHJKL:\""},
                                 {kLower, U"zxcvbnm,./", U"ZXCVBNM<>?"}};
  static const Keyboard keyboard(kRows);
  return keyboard;
}

const Keyboard& Dubeolsik() {
  static const KeyRow kRows[] = {{kUpper, U"ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", U"ㅃㅉㄸㄲㅆㅛㅕㅑㅒㅖ"},
                                 {kHome, U"ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", U"ㅁㄴㅇㄹㅎㅗㅓㅏㅣ"},
                                 {kLower, U"ㅋㅌㅊㅍㅠㅜㅡ", U"ㅋㅌㅊㅍㅠㅜㅡ"}};
  static const Keyboard keyboard(kRows);
  return keyboard;
}

}  // namespace midlayer
