#include "server/augment/hangul.h"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "server/augment/keyboard.h"
#include "server/augment/words.h"

namespace midlayer {
namespace {

constexpr char32_t kSyllables = 0xAC00, kInitials = 0x1100, kMedials = 0x1161, kFinals = 0x11A7;
constexpr int kMedialCount = 21, kFinalCount = 28, kSyllableCount = 19 * kMedialCount * kFinalCount;

// The keys of every jamo, in Unicode's order, on the two-set keyboard.
using Keys = std::u32string_view;
constexpr std::array<Keys, 19> kInitialKeys = {U"ㄱ", U"ㄲ", U"ㄴ", U"ㄷ", U"ㄸ", U"ㄹ", U"ㅁ", U"ㅂ", U"ㅃ", U"ㅅ",
                                               U"ㅆ", U"ㅇ", U"ㅈ", U"ㅉ", U"ㅊ", U"ㅋ", U"ㅌ", U"ㅍ", U"ㅎ"};
constexpr std::array<Keys, kMedialCount> kMedialKeys = {U"ㅏ",   U"ㅐ",   U"ㅑ",   U"ㅒ",   U"ㅓ",   U"ㅔ",   U"ㅕ",
                                                        U"ㅖ",   U"ㅗ",   U"ㅗㅏ", U"ㅗㅐ", U"ㅗㅣ", U"ㅛ",   U"ㅜ",
                                                        U"ㅜㅓ", U"ㅜㅔ", U"ㅜㅣ", U"ㅠ",   U"ㅡ",   U"ㅡㅣ", U"ㅣ"};
constexpr std::array<Keys, kFinalCount> kFinalKeys = {U"",     U"ㄱ",   U"ㄲ",   U"ㄱㅅ", U"ㄴ",   U"ㄴㅈ", U"ㄴㅎ",
                                                      U"ㄷ",   U"ㄹ",   U"ㄹㄱ", U"ㄹㅁ", U"ㄹㅂ", U"ㄹㅅ", U"ㄹㅌ",
                                                      U"ㄹㅍ", U"ㄹㅎ", U"ㅁ",   U"ㅂ",   U"ㅂㅅ", U"ㅅ",   U"ㅆ",
                                                      U"ㅇ",   U"ㅈ",   U"ㅊ",   U"ㅋ",   U"ㅌ",   U"ㅍ",   U"ㅎ"};

// For each jamo those that one missed key makes of it.
template <size_t kSize>
std::array<std::vector<int>, kSize> Missed(const std::array<Keys, kSize>& keys) {
  std::array<std::vector<int>, kSize> missed;
  for (size_t jamo = 0; jamo < kSize; ++jamo) {
    for (size_t at = 0; at < keys[jamo].size(); ++at) {
      for (const char32_t neighbour : Dubeolsik().Neighbours(keys[jamo][at])) {
        std::u32string typed(keys[jamo]);
        typed[at] = neighbour;
        for (size_t other = 0; other < kSize; ++other) {
          if (keys[other] == typed) missed[jamo].push_back(static_cast<int>(other));
        }
      }
    }
  }
  return missed;
}

// One of 0…count-1 other than `jamo`.
int Other(int jamo, int count, Random& random) {
  const int other = static_cast<int>(random.Index(static_cast<uint64_t>(count - 1)));
  return other < jamo ? other : other + 1;
}

template <typename T>
const T& OneOf(const std::vector<T>& values, Random& random) {
  return values[random.Index(values.size())];
}

std::optional<Syllable> FromConjoining(const std::vector<char32_t>& codes) {
  if (codes.size() < 2 || codes.size() > 3) return std::nullopt;
  const auto initial = static_cast<int>(codes[0]) - static_cast<int>(kInitials);
  const auto medial = static_cast<int>(codes[1]) - static_cast<int>(kMedials);
  const auto last = codes.size() == 2 ? 0 : static_cast<int>(codes[2]) - static_cast<int>(kFinals);
  if (initial < 0 || initial >= 19 || medial < 0 || medial >= kMedialCount) return std::nullopt;
  if (last < (codes.size() == 2 ? 0 : 1) || last >= kFinalCount) return std::nullopt;
  return Syllable{.initial = initial, .medial = medial, .last = last};
}

}  // namespace

std::optional<Syllable> ParseSyllable(std::string_view character) {
  // All of Hangul's code points take three bytes.
  if (character.size() % 3 != 0 || character.size() > 9) return std::nullopt;
  std::vector<char32_t> codes;
  for (size_t at = 0; at < character.size(); at += 3) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[at + i]); };
    if (byte(0) >> 4 != 0xE || byte(1) >> 6 != 2 || byte(2) >> 6 != 2) return std::nullopt;
    codes.push_back((byte(0) & 0xFU) << 12 | (byte(1) & 0x3FU) << 6 | (byte(2) & 0x3FU));
  }
  if (codes.size() != 1) return FromConjoining(codes);
  const int index = static_cast<int>(codes[0]) - static_cast<int>(kSyllables);
  if (index < 0 || index >= kSyllableCount) return std::nullopt;
  return Syllable{.initial = index / (kMedialCount * kFinalCount),
                  .medial = index / kFinalCount % kMedialCount,
                  .last = index % kFinalCount};
}

char32_t Compose(const Syllable& syllable) {
  return kSyllables +
         static_cast<char32_t>((syllable.initial * kMedialCount + syllable.medial) * kFinalCount + syllable.last);
}

Syllable WithRandomJamo(const Syllable& syllable, Random& random) {
  Syllable changed = syllable;
  switch (random.Index(static_cast<uint64_t>(JamoCount(syllable)))) {
    case 0:
      changed.initial = Other(syllable.initial, 19, random);
      break;
    case 1:
      changed.medial = Other(syllable.medial, kMedialCount, random);
      break;
    default:
      changed.last = 1 + Other(syllable.last - 1, kFinalCount - 1, random);
  }
  return changed;
}

Syllable WithNeighbourJamo(const Syllable& syllable, Random& random) {
  static const auto initials = Missed(kInitialKeys);
  static const auto medials = Missed(kMedialKeys);
  static const auto finals = Missed(kFinalKeys);
  const std::vector<int>* choices[] = {&initials[static_cast<size_t>(syllable.initial)],
                                       &medials[static_cast<size_t>(syllable.medial)],
                                       &finals[static_cast<size_t>(syllable.last)]};
  std::vector<size_t> places;
  for (size_t place = 0; place < 3; ++place) {
    if (!choices[place]->empty()) places.push_back(place);
  }
  Syllable changed = syllable;
  int* const jamo[] = {&changed.initial, &changed.medial, &changed.last};
  const size_t place = OneOf(places, random);  // every initial has neighbours
  *jamo[place] = OneOf(*choices[place], random);
  return changed;
}

}  // namespace midlayer
