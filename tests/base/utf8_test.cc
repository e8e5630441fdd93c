#include "server/base/utf8.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

using std::string_view_literals::operator""sv;

TEST(Utf8Test, Good) {
  const std::string_view texts[] = {
      ""sv,
      "plain"sv,
      "a\0b"sv,
      "\x7f"sv,
      "\xC2\x80"sv,
      "\xDF\xBF"sv,
      "\xE0\xA0\x80"sv,
      "\xED\x9F\xBF"sv,
      "\xEE\x80\x80"sv,
      "\xEF\xBF\xBF"sv,
      "\xF0\x90\x80\x80"sv,
      "\xF4\x8F\xBF\xBF"sv,
      "long enough for words, \u00fc and \u4e2d and \U0001f600, and on"sv,
  };
  for (const std::string_view text : texts) {
    EXPECT_TRUE(IsUtf8(text, nullptr)) << text;
  }
}

TEST(Utf8Test, BadWithOffset) {
  const struct {
    std::string_view text;
    size_t offset;
  } cases[] = {
      {"\x80"sv, 0},                      // continuation without a start
      {"ab\xFFgh"sv, 2},                  // never a byte of UTF-8
      {"\xC0\x80"sv, 0},                  // overlong NUL
      {"\xC1\xBF"sv, 0},                  // overlong, two bytes
      {"\xE0\x9F\xBF"sv, 0},              // overlong, three bytes
      {"\xF0\x8F\xBF\xBF"sv, 0},          // overlong, four bytes
      {"\xED\xA0\x80"sv, 0},              // first surrogate
      {"\xED\xBF\xBF"sv, 0},              // last surrogate
      {"\xF4\x90\x80\x80"sv, 0},          // above U+10FFFF
      {"\xF5\x80\x80\x80"sv, 0},          // above U+10FFFF
      {"abc\xC3"sv, 3},                   // cut off
      {"abc\xE4\xB8"sv, 3},               // cut off
      {"abc\xF0\x9F\x98"sv, 3},           // cut off
      {"\xC3z"sv, 0},                     // no continuation
      {"\xE4\xB8z"sv, 0},                 // no continuation
      {"\xF0\x9F\x98z"sv, 0},             // no continuation
      {"12345678\0002345678\xFE"sv, 16},  // after whole words of ASCII
      {"1234567\xC3"sv, 7},               // in the last byte of a word
  };
  for (const auto& test : cases) {
    size_t offset = 999;
    EXPECT_FALSE(IsUtf8(test.text, &offset)) << test.text;
    EXPECT_EQ(offset, test.offset) << test.text;
    EXPECT_FALSE(IsUtf8(test.text, nullptr)) << test.text;
  }
}

// Every code point, written by the rules, and every two-byte string, against the rules.
TEST(Utf8Test, AllCodePoints) {
  for (uint32_t c = 0; c <= 0x120000; ++c) {
    std::string text;
    if (c < 0x80) {
      text = {static_cast<char>(c)};
    } else if (c < 0x800) {
      text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
              static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
              static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    const bool valid = c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
    ASSERT_EQ(IsUtf8(text, nullptr), valid) << c;
  }
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      const bool ascii = first < 0x80 && second < 0x80;
      const bool two = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
      ASSERT_EQ(IsUtf8(text, nullptr), ascii || two) << first << " " << second;
    }
  }
}

}  // namespace
}  // namespace midlayer
