#include "server/augment/words.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

namespace midlayer {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// The code point that `text` (not empty) starts with, and its length.
char32_t Decode(std::string_view text, size_t* length) {
  utf8proc_int32_t code = 0;
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t bytes = utf8proc_iterate(data, static_cast<utf8proc_ssize_t>(text.size()), &code);
  *length = bytes > 0 ? static_cast<size_t>(bytes) : 1;
  return bytes > 0 ? static_cast<char32_t>(code) : kReplacement;
}

utf8proc_category_t Category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

bool IsSpace(char32_t code) {
  const utf8proc_category_t category = Category(code);
  return (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) || (code >= 0x09 && code <= 0x0D) ||
         (code >= 0x1C && code <= 0x1F) || code == 0x85;
}

CharacterKind KindOf(char32_t first, bool all_space) {
  if (all_space) return CharacterKind::kSpace;
  const utf8proc_category_t category = Category(first);
  const bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;  // on nothing
  const bool word = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_PC && !mark;
  return word ? CharacterKind::kWord : CharacterKind::kOther;
}

struct Range {
  char32_t first;
  char32_t last;
};

template <size_t kSize>
bool Contains(const Range (&ranges)[kSize], char32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const Range& range) { return code >= range.first && code <= range.last; });
}

bool IsPunctuation(char32_t code) {
  const utf8proc_category_t category = Category(code);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsWidePunctuation(char32_t code) {
  return IsPunctuation(code) && utf8proc_charwidth(static_cast<utf8proc_int32_t>(code)) == 2;
}

bool IsClosing(char32_t code) {
  const utf8proc_category_t category = Category(code);
  return category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PF || EndsSentence(code) ||
         std::u32string_view(U",;:%،؛").find(code) != std::u32string_view::npos;
}

}  // namespace

std::vector<Character> Characters(std::string_view text) {
  std::vector<Character> characters;
  utf8proc_int32_t state = 0;
  char32_t previous = 0;
  size_t start = 0;
  bool all_space = true;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = Decode(text.substr(at), &length);
    const bool starts = at == 0 || utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous),
                                                                    static_cast<utf8proc_int32_t>(code), &state);
    if (starts) {
      characters.push_back({.first = code});
      start = at;
      all_space = true;
    }
    all_space = all_space && IsSpace(code);
    characters.back().text = text.substr(start, at + length - start);
    characters.back().kind = KindOf(characters.back().first, all_space);
    previous = code;
  }
  return characters;
}

std::vector<Token> SplitWords(std::string_view text) {
  std::vector<Token> tokens;
  const char* end = nullptr;  // of the word that may go on
  for (const Character& character : Characters(text)) {
    const bool word = character.kind == CharacterKind::kWord;
    if (word && character.text.data() == end) {
      std::string_view& grown = tokens.back().text;
      grown = std::string_view(grown.data(), grown.size() + character.text.size());
    } else if (character.kind != CharacterKind::kSpace) {
      tokens.push_back({.text = character.text, .word = word});
    }
    end = word ? character.text.data() + character.text.size() : nullptr;
  }
  return tokens;
}

std::string JoinWords(absl::Span<const std::string> tokens) {
  std::string text;
  bool glue = true;  // nothing between what stands and what comes
  for (const std::string& token : tokens) {
    if (token.empty()) continue;
    size_t length = 0;
    const char32_t first = Decode(token, &length);
    const bool single = length == token.size();
    if (!glue && !(single && (IsClosing(first) || IsWidePunctuation(first)))) text += ' ';
    text += token;
    glue = single && (IsOpening(first) || IsWidePunctuation(first));
  }
  return text;
}

std::string Encode(char32_t code) {
  if (!utf8proc_codepoint_valid(static_cast<utf8proc_int32_t>(code))) code = kReplacement;
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

bool IsOpening(char32_t code) {
  const utf8proc_category_t category = Category(code);
  return category == UTF8PROC_CATEGORY_PS || category == UTF8PROC_CATEGORY_PI;
}

bool EndsSentence(char32_t code) {
  return std::u32string_view(U".!?…‼⁇⁈⁉。．！？｡؟۔।॥։።").find(code) != std::u32string_view::npos;
}

bool IsIdeograph(char32_t code) {
  static constexpr Range kHan[] = {{0x2E80, 0x2FDF}, {0x3005, 0x3007}, {0x3400, 0x4DBF},
                                   {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3FFFD}};
  return Contains(kHan, code);
}

bool IsUnspaced(char32_t code) {
  static constexpr Range kScripts[] = {{0x0E00, 0x0EFF},   // Thai, Lao
                                       {0x1000, 0x109F},   // Burmese
                                       {0x1780, 0x17FF},   // Khmer
                                       {0x3041, 0x312F},   // kana, bopomofo
                                       {0x31F0, 0x31FF},   // kana
                                       {0xFF66, 0xFF9F}};  // kana
  return IsIdeograph(code) || Contains(kScripts, code);
}

}  // namespace midlayer
