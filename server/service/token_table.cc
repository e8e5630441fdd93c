#include "server/service/token_table.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/digest.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

constexpr size_t kShortest = 16, kLongest = 512;

// b64token of RFC 6750, section 2.1.
bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("-._~+/=").find(c) != std::string_view::npos;
}

std::string DigestOf(std::string_view token) {
  Sha256 digest;
  digest.Update(token);
  return digest.Finish();
}

// What is wrong with the words of a line; empty: nothing.
std::string Problem(const std::vector<absl::string_view>& words) {
  if (words.size() < 2 || words.size() > 3) return absl::StrCat("NAME TOKEN [admin], found ", words.size(), " words");
  if (words.size() == 3 && words[2] != "admin") return "admin or nothing behind the token, found another word";
  if (words[1].size() < kShortest || words[1].size() > kLongest) {
    return absl::StrCat("a token of ", kShortest, " to ", kLongest, " characters, found ", words[1].size());
  }
  for (const char c : words[1]) {
    if (!IsTokenCharacter(c)) return "a token of letters, digits and -._~+/=, found another character";
  }
  return "";
}

}  // namespace

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view text) {
  TokenTable table;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty() || words[0][0] == '#') continue;
    std::string problem = Problem(words);
    if (problem.empty()) {
      const Caller caller{.name = std::string(words[0]), .admin = words.size() == 3};
      const std::string_view token(words[1].data(), words[1].size());
      if (!table.callers_.emplace(DigestOf(token), caller).second) problem = "each token once, found one again";
    }
    if (!problem.empty()) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": expected ", problem));
  }
  if (table.callers_.empty()) return absl::InvalidArgumentError("expected a line NAME TOKEN [admin], found none");
  return table;
}

const Caller* TokenTable::Find(std::string_view token) const {
  const auto found = callers_.find(DigestOf(token));
  return found == callers_.end() ? nullptr : &found->second;
}

}  // namespace midlayer
