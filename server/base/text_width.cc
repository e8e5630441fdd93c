#include "server/base/text_width.h"

#include <algorithm>
#include <cstdint>

#include "server/base/utf8.h"

namespace midlayer {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Sorted. The blocks that terminals draw two columns wide (Unicode's East Asian Width W and F, whole blocks).
constexpr Range kWide[] = {{0x1100, 0x115F},  {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xA960, 0xA97F},
                           {0xAC00, 0xD7A3},  {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                           {0xFFE0, 0xFFE6},  {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF},
                           {0x20000, 0x3FFFD}};
// Sorted. Combining marks of the common scripts, joiners, variation selectors.
constexpr Range kZero[] = {{0x0300, 0x036F}, {0x0591, 0x05BD}, {0x064B, 0x065F}, {0x200B, 0x200F},
                           {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

template <size_t kSize>
bool Contains(const Range (&ranges)[kSize], char32_t code) {
  const Range* range = std::ranges::lower_bound(ranges, code, {}, &Range::last);
  return range != std::end(ranges) && range->first <= code;
}

// Bytes of the code point that starts with `lead`; 1 for anything that starts none.
size_t Length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The code point at the start of `text`, which must be UTF-8 and not empty.
char32_t Decode(std::string_view text, size_t* length) {
  *length = std::min(Length(text[0]), text.size());
  const auto lead = static_cast<uint8_t>(text[0]);
  char32_t code = *length == 1 ? lead : lead & (0xFFU >> (*length + 1));
  for (size_t i = 1; i < *length; ++i) code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3FU);
  return code;
}

size_t WidthOf(char32_t code) { return Contains(kZero, code) ? 0 : Contains(kWide, code) ? 2 : 1; }

bool IsControl(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);  // these turn the direction of writing
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  while (!text.empty()) {
    size_t length = std::min(Length(text[0]), text.size());
    if (!IsUtf8(text.substr(0, length), nullptr)) {
      printable += '?';
      text.remove_prefix(1);
      continue;
    }
    const char32_t code = Decode(text, &length);
    printable.append(IsControl(code) ? " " : text.substr(0, length));
    text.remove_prefix(length);
  }
  return printable;
}

size_t Width(std::string_view text) {
  size_t width = 0;
  for (size_t length = 0; !text.empty(); text.remove_prefix(length)) width += WidthOf(Decode(text, &length));
  return width;
}

std::string Cut(std::string_view text, size_t width) {
  if (text.size() <= width || Width(text) <= width) return std::string(text);
  size_t columns = 0;
  size_t end = 0;
  for (size_t length = 0; end < text.size(); end += length) {
    columns += WidthOf(Decode(text.substr(end), &length));
    if (columns > width - 1) break;  // the last column is for the "…"
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string PadRight(std::string_view text, size_t width) {
  const size_t columns = Width(text);
  return std::string(text) + std::string(columns < width ? width - columns : 0, ' ');
}

std::string PadLeft(std::string_view text, size_t width) {
  const size_t columns = Width(text);
  return std::string(columns < width ? width - columns : 0, ' ') + std::string(text);
}

}  // namespace midlayer
