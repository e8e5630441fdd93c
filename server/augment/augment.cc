#include "server/augment/augment.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "server/augment/hangul.h"
#include "server/augment/keyboard.h"
#include "server/augment/words.h"

namespace midlayer {
namespace {

size_t CountOf(size_t of, double share, size_t most) {
  const double wanted = std::ceil(share * static_cast<double>(of));
  return static_cast<size_t>(std::fmin(std::fmax(wanted, 1), static_cast<double>(most)));
}

size_t Letters(const std::vector<Character>& word) {
  size_t letters = 0;
  for (const Character& character : word) {
    const std::optional<Syllable> syllable = ParseSyllable(character.text);
    letters += syllable.has_value() ? static_cast<size_t>(JamoCount(*syllable)) : 1;
  }
  return letters;
}

// k of 0…n-1 in ascending order.
std::vector<size_t> Chosen(size_t n, size_t k, Random& random) {
  std::vector<size_t> chosen = random.Sample(n, k);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

// Applies `change` to words of which can_change(characters) holds. change(characters) gives the new word.
template <typename CanChange, typename Change>
std::string ChangeWords(std::string_view text, Random& random, const AugmentOptions& options, CanChange can_change,
                        Change change) {
  const std::vector<Token> tokens = SplitWords(text);
  std::vector<size_t> candidates;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i].word) continue;
    const std::vector<Character> word = Characters(tokens[i].text);
    if (Letters(word) >= options.fewest_letters && can_change(word)) candidates.push_back(i);
  }
  if (candidates.empty()) return std::string(text);
  std::vector<std::string> pieces;
  for (const Token& token : tokens) pieces.emplace_back(token.text);
  const size_t count = CountOf(tokens.size(), options.word_share, options.most_words);
  for (const size_t i : Chosen(candidates.size(), count, random)) {
    std::string& piece = pieces[candidates[i]];
    piece = change(Characters(piece));
  }
  return JoinWords(pieces);
}

// The word with some of its characters, of those of which can_replace(character) holds, replaced.
template <typename CanReplace, typename Replace>
std::string ReplaceCharacters(const std::vector<Character>& word, Random& random, const AugmentOptions& options,
                              CanReplace can_replace, Replace replace) {
  std::vector<size_t> candidates;
  std::vector<std::string> pieces;
  for (size_t i = 0; i < word.size(); ++i) {
    pieces.emplace_back(word[i].text);
    if (can_replace(word[i])) candidates.push_back(i);
  }
  const size_t count = CountOf(Letters(word), options.letter_share, options.most_letters);
  for (const size_t i : Chosen(candidates.size(), count, random)) {
    pieces[candidates[i]] = replace(word[candidates[i]]);
  }
  std::string changed;
  for (const std::string& piece : pieces) changed += piece;
  return changed;
}

bool IsSyllable(const Character& character) { return ParseSyllable(character.text).has_value(); }

// The first and the last character at which a space may be put before.
std::pair<size_t, size_t> SplitPlaces(const std::vector<Character>& word) {
  const bool korean = std::any_of(word.begin(), word.end(), IsSyllable);
  return {1, word.size() - (korean ? 1 : 2)};
}

// What hitting the key beside would give; none for what no key has.
std::u32string_view KeysBeside(const Character& character) {
  return Encode(character.first) == character.text ? Qwerty().Neighbours(character.first) : std::u32string_view();
}

std::string RandomCharacter(const Character& character, Random& random) {
  static constexpr std::string_view kCharacters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*()_+";
  if (const auto syllable = ParseSyllable(character.text)) return Encode(Compose(WithRandomJamo(*syllable, random)));
  return std::string(1, kCharacters[random.Index(kCharacters.size())]);
}

std::string NeighbourCharacter(const Character& character, Random& random) {
  if (const auto syllable = ParseSyllable(character.text)) return Encode(Compose(WithNeighbourJamo(*syllable, random)));
  const std::u32string_view keys = KeysBeside(character);
  return Encode(keys[random.Index(keys.size())]);
}

}  // namespace

std::string SplitAugment(std::string_view text, Random& random, const AugmentOptions& options) {
  const auto can_split = [](const std::vector<Character>& word) {
    const auto [first, last] = SplitPlaces(word);
    return word.size() >= 2 && first <= last;
  };
  return ChangeWords(text, random, options, can_split, [&random](const std::vector<Character>& word) {
    const auto [first, last] = SplitPlaces(word);
    const size_t place = first + random.Index(last - first + 1);
    std::string split;
    for (size_t i = 0; i < word.size(); ++i) split.append(i == place ? " " : "").append(word[i].text);
    return split;
  });
}

std::string RandomCharAugment(std::string_view text, Random& random, const AugmentOptions& options) {
  const auto any = [](const auto&) { return true; };
  const auto replace = [&random](const Character& character) { return RandomCharacter(character, random); };
  return ChangeWords(text, random, options, any, [&](const std::vector<Character>& word) {
    return ReplaceCharacters(word, random, options, any, replace);
  });
}

std::string KeyboardAugment(std::string_view text, Random& random, const AugmentOptions& options) {
  const auto on_a_key = [](const Character& character) {
    return IsSyllable(character) || !KeysBeside(character).empty();
  };
  const auto can_change = [&](const std::vector<Character>& word) {
    return std::any_of(word.begin(), word.end(), on_a_key);
  };
  const auto replace = [&random](const Character& character) { return NeighbourCharacter(character, random); };
  return ChangeWords(text, random, options, can_change, [&](const std::vector<Character>& word) {
    return ReplaceCharacters(word, random, options, on_a_key, replace);
  });
}

std::string AugmentedView(std::string_view text, uint64_t seed, uint64_t view_number, const AugmentOptions& options) {
  Random random(Random::SubSeed(seed, view_number));
  std::string view = SplitAugment(text, random, options);
  view = RandomCharAugment(view, random, options);
  return KeyboardAugment(view, random, options);
}

}  // namespace midlayer
