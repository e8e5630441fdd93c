// Two halves of a text, of which one should be found by the other. Text is UTF-8. Thread-safe.
#ifndef MIDLAYER_SERVER_AUGMENT_HALVES_H_
#define MIDLAYER_SERVER_AUGMENT_HALVES_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace midlayer {

using Halves = std::pair<std::string, std::string>;

// Cuts at the start of the word nearest the middle, counted in words (what stands between spaces and has a letter or a
// digit); of words equally near at the first. Where sentences end in the middle third, at the nearest of these ends. In
// scripts that put no spaces between words every character counts as half a word. The spaces at the cut are left out.
// nullopt for fewer than four words (eight characters of such scripts).
std::optional<Halves> SplitInHalves(std::string_view text);

// Both halves without the words that occur in both, whatever their case (Unicode's case folding), so that a half cannot
// be found by a word that it repeats. Words are those of SplitWords, but every Chinese character is one. Spaces around
// what is dropped become one. nullopt where a half has no word left.
std::optional<Halves> MaskSharedWords(std::string_view first, std::string_view second);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_AUGMENT_HALVES_H_
