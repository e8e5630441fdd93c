// Text in columns of a terminal.
#ifndef MIDLAYER_SERVER_BASE_TEXT_WIDTH_H_
#define MIDLAYER_SERVER_BASE_TEXT_WIDTH_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace midlayer {

// `text` as one line that is safe to print: control characters (line ends, tabs, escapes) become blanks, and bytes that
// are not UTF-8 become "?".
std::string Printable(std::string_view text);

// The columns that `text` (UTF-8, printable) takes: 1 a code point, 2 for wide East Asian characters and emoji, 0 for
// combining marks. Near enough for a table; grapheme clusters are not looked at.
size_t Width(std::string_view text);

// `text` (UTF-8, printable), cut to at most `width` columns (>= 1); what was cut ends in "…".
std::string Cut(std::string_view text, size_t width);

// `text` filled up with blanks to `width` columns, on its right or on its left. Longer text stays as it is.
std::string PadRight(std::string_view text, size_t width);
std::string PadLeft(std::string_view text, size_t width);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_TEXT_WIDTH_H_
