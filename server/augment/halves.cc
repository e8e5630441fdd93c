#include "server/augment/halves.h"

#include <utf8proc.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <vector>

#include "server/augment/words.h"

namespace midlayer {
namespace {

constexpr int64_t kWordWeight = 2;  // in characters of scripts without spaces
constexpr int64_t kFewestWeight = 8;

// A place where the text may be cut.
struct Cut {
  size_t at = 0;       // byte
  int64_t before = 0;  // weight of what comes before
  bool sentence = false;
};

struct Cuts {
  std::vector<Cut> cuts;
  int64_t total = 0;
};

// Goes over the characters once, with what decides whether one of them starts a word or a sentence.
class CutFinder {
 public:
  explicit CutFinder(std::string_view text) : text_(text) {}

  Cuts Find() {
    for (const Character& character : Characters(text_)) Visit(character);
    return std::move(found_);
  }

 private:
  void Visit(const Character& character) {
    if (character.kind == CharacterKind::kSpace) {
      in_chunk_ = in_word_ = false;
      opening_.reset();
      return;
    }
    const auto at = static_cast<size_t>(character.text.data() - text_.data());
    if (!in_chunk_) start_ = at;
    in_chunk_ = true;
    if (character.kind == CharacterKind::kWord) {
      VisitWord(character, at);
      return;
    }
    if (EndsSentence(character.first)) {
      ended_ = true;
    } else if (IsOpening(character.first) && !opening_.has_value()) {
      opening_ = at;
    }
  }

  void VisitWord(const Character& character, size_t at) {
    if (IsUnspaced(character.first)) {
      Add(in_word_ ? opening_.value_or(at) : start_, 1);
      in_word_ = true;
    } else if (!in_word_) {
      Add(start_, kWordWeight);
      in_word_ = true;
    } else {
      ended_ = false;  // a dot within a word, as in 3.14
    }
    opening_.reset();
  }

  void Add(size_t at, int64_t weight) {
    if (found_.total > 0) found_.cuts.push_back({.at = at, .before = found_.total, .sentence = ended_});
    found_.total += weight;
    ended_ = false;
  }

  const std::string_view text_;
  Cuts found_;
  bool in_chunk_ = false;          // since the last space
  bool in_word_ = false;           // a word was counted since the last space
  size_t start_ = 0;               // of what stands since the last space
  std::optional<size_t> opening_;  // the first of the opening brackets just before
  bool ended_ = false;             // a sentence, since the last word
};

// Twice the distance from the middle.
int64_t OffMiddle(const Cut& cut, int64_t total) { return std::abs(2 * cut.before - total); }

std::string_view TrimmedEnd(std::string_view text) {
  size_t end = 0;
  for (const Character& character : Characters(text)) {
    if (character.kind != CharacterKind::kSpace) {
      end = static_cast<size_t>(character.text.data() - text.data()) + character.text.size();
    }
  }
  return text.substr(0, end);
}

std::string Folded(std::string_view word) {
  utf8proc_uint8_t* folded = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(word.data()),
                                               static_cast<utf8proc_ssize_t>(word.size()), &folded, options);
  if (length < 0) return std::string(word);
  std::string result(reinterpret_cast<const char*>(folded), static_cast<size_t>(length));
  std::free(folded);
  return result;
}

// The words to compare: Chinese characters one by one.
std::vector<std::string_view> MaskableWords(std::string_view text) {
  std::vector<std::string_view> words;
  for (const Token& token : SplitWords(text)) {
    if (!token.word) continue;
    bool grows = false;
    for (const Character& character : Characters(token.text)) {
      const bool alone = IsIdeograph(character.first);
      if (grows && !alone) {
        words.back() = std::string_view(words.back().data(), words.back().size() + character.text.size());
      } else {
        words.push_back(character.text);
      }
      grows = !alone;
    }
  }
  return words;
}

std::set<std::string> FoldedWords(const std::vector<std::string_view>& words) {
  std::set<std::string> folded;
  for (const std::string_view word : words) folded.insert(Folded(word));
  return folded;
}

// `text` with its spaces put in order: one between words, none at the ends.
std::string Tidy(std::string_view text) {
  std::string tidy;
  bool space = false;
  for (const Character& character : Characters(text)) {
    if (character.kind == CharacterKind::kSpace) {
      space = !tidy.empty();
      continue;
    }
    tidy.append(space ? " " : "").append(character.text);
    space = false;
  }
  return tidy;
}

// nullopt if no word remains.
std::optional<std::string> Without(std::string_view text, const std::vector<std::string_view>& words,
                                   const std::set<std::string>& dropped) {
  std::string kept;
  size_t at = 0, remaining = words.size();
  for (const std::string_view word : words) {
    if (!dropped.contains(Folded(word))) continue;
    const auto start = static_cast<size_t>(word.data() - text.data());
    kept += text.substr(at, start - at);
    at = start + word.size();
    --remaining;
  }
  if (remaining == 0) return std::nullopt;
  kept += text.substr(at);
  return Tidy(kept);
}

}  // namespace

std::optional<Halves> SplitInHalves(std::string_view text) {
  const auto [cuts, total] = CutFinder(text).Find();
  if (total < kFewestWeight) return std::nullopt;
  const Cut* best = nullptr;
  bool best_sentence = false;
  for (const Cut& cut : cuts) {
    const bool sentence = cut.sentence && 3 * cut.before >= total && 3 * cut.before <= 2 * total;
    const bool nearer = best == nullptr || OffMiddle(cut, total) < OffMiddle(*best, total);
    if (sentence == best_sentence ? !nearer : best_sentence) continue;
    best = &cut;
    best_sentence = sentence;
  }
  if (best == nullptr) return std::nullopt;
  return Halves(TrimmedEnd(text.substr(0, best->at)), text.substr(best->at));
}

std::optional<Halves> MaskSharedWords(std::string_view first, std::string_view second) {
  const std::vector<std::string_view> first_words = MaskableWords(first), second_words = MaskableWords(second);
  const std::set<std::string> in_second = FoldedWords(second_words);
  std::set<std::string> shared;
  for (const std::string& word : FoldedWords(first_words)) {
    if (in_second.contains(word)) shared.insert(word);
  }
  std::optional<std::string> masked_first = Without(first, first_words, shared);
  std::optional<std::string> masked_second = Without(second, second_words, shared);
  if (!masked_first.has_value() || !masked_second.has_value()) return std::nullopt;
  return Halves(*std::move(masked_first), *std::move(masked_second));
}

}  // namespace midlayer
