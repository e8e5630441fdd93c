// --token-file: a table finds the tokens of the file's lines and no others, and no error shows a token.
#include <map>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/service/token_table.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

constexpr absl::string_view kBlanks = " \t\r";

// Words of 16 and more bytes, as tokens are.
std::vector<std::string> LongWords(std::string_view text) {
  std::vector<std::string> words = absl::StrSplit(ToAbsl(text), absl::ByAnyChar(" \t\r\n"));
  std::erase_if(words, [](const std::string& word) { return word.size() < 16; });
  return words;
}

// The words of the lines that name a caller, by token.
std::map<std::string, std::vector<std::string>> LinesByToken(std::string_view text) {
  std::map<std::string, std::vector<std::string>> lines;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(kBlanks), absl::SkipEmpty());
    if (!words.empty() && words[0][0] != '#') lines.emplace(words.at(1), words);
  }
  return lines;
}

void CheckTable(const TokenTable& table, std::string_view text) {
  const std::map<std::string, std::vector<std::string>> lines = LinesByToken(text);
  fuzz::Require(!lines.empty() && table.Find("") == nullptr, "a caller, and none without a token");
  for (const auto& [token, words] : lines) {
    const Caller* caller = table.Find(token);
    fuzz::Require(caller != nullptr && caller->name == words[0], "a token finds the name on its line");
    fuzz::Require(caller->admin == (words.size() == 3), "an administrator is who the line says is one");
    for (const std::string& other : {token + "x", token.substr(1)}) {
      fuzz::Require(lines.contains(other) || table.Find(other) == nullptr, "no other token finds anyone");
    }
  }
}

void Check(std::string_view text) {
  const absl::StatusOr<TokenTable> table = TokenTable::Parse(text);
  if (table.ok()) return CheckTable(*table, text);
  fuzz::RequireError(table.status(), {absl::StatusCode::kInvalidArgument}, "^(line \\d+: expected |expected a line )");
  for (const std::string& word : LongWords(text)) {
    fuzz::Require(table.status().message().find(word) == absl::string_view::npos, "no token in a message");
  }
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
