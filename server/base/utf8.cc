#include "server/base/utf8.h"

#include <cstdint>
#include <cstring>

namespace midlayer {
namespace {

// Length of the well-formed sequence that `text` (not empty) starts with, or 0. Table 3-7 of the Unicode standard: what
// the first byte leaves open, the bounds of the second close (overlong forms, surrogates, above U+10FFFF).
size_t SequenceLength(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

// Whether the eight bytes at `data` are all ASCII.
bool EightAscii(const char* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  return (word & 0x8080808080808080u) == 0;
}

}  // namespace

bool IsUtf8(std::string_view text, size_t* bad_offset) {
  size_t i = 0;
  while (i < text.size()) {
    if (text.size() - i >= 8 && EightAscii(text.data() + i)) {
      i += 8;
      continue;
    }
    const size_t length = SequenceLength(text.substr(i));
    if (length == 0) {
      if (bad_offset != nullptr) *bad_offset = i;
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace midlayer
