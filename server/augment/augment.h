// Augmented views of a text: small misspellings that leave its meaning, for the metrics that compare views (Skean et
// al. 2025, "Layer by Layer", who take nlpaug's split, random and keyboard augmenters one after the other). Thread-safe
// functions; what a seed gives is the same on every platform.
//
// Text is UTF-8. A step picks words and, in each, letters, at random and without repetition. Letters are characters,
// but a Korean syllable counts its jamo, so that Korean, whose words have few characters, is changed about as much.
// Words that are changed make the text be joined anew (JoinWords); a text without a word that can be changed comes back
// as it is.
#ifndef MIDLAYER_SERVER_AUGMENT_AUGMENT_H_
#define MIDLAYER_SERVER_AUGMENT_AUGMENT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/random.h"

namespace midlayer {

// The defaults are nlpaug's. Of n tokens (words and punctuation) ceil(word_share n) words are changed, at least 1 and
// at most most_words; of the m letters of a word likewise.
struct AugmentOptions {
  double word_share = 0.3;
  double letter_share = 0.3;
  size_t most_words = 10;
  size_t most_letters = 10;
  size_t fewest_letters = 4;  // shorter words stay as they are
};

// A space into each of the words: before any of its characters but the first and the last, or, where Korean syllables
// are in it, any but the first.
std::string SplitAugment(std::string_view text, Random& random, const AugmentOptions& options = {});

// Characters replaced by one of A-Z, a-z, 0-9 and !@#$%^&*()_+, each as likely; one jamo of a Korean syllable by
// another.
std::string RandomCharAugment(std::string_view text, Random& random, const AugmentOptions& options = {});

// Characters replaced by one of a key beside theirs on a QWERTY keyboard, of a Korean syllable on the two-set keyboard.
// Others are not touched.
std::string KeyboardAugment(std::string_view text, Random& random, const AugmentOptions& options = {});

// The three in this order. Views of one text differ by view_number; give every text its own seed (Random::SubSeed).
std::string AugmentedView(std::string_view text, uint64_t seed, uint64_t view_number,
                          const AugmentOptions& options = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_AUGMENT_AUGMENT_H_
