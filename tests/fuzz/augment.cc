// Views and halves of texts of scoring runs: nothing gets lost in words and characters, UTF-8 stays UTF-8, and a seed
// gives the same again. The first byte is the seed.
#include "server/augment/augment.h"

#include "server/augment/halves.h"
#include "server/augment/words.h"
#include "server/base/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using fuzz::Require;

void CheckWords(std::string_view text) {
  std::string joined;
  for (const Character& character : Characters(text)) {
    Require(!character.text.empty(), "no empty character");
    joined += character.text;
  }
  Require(joined == text, "characters that make up the text");
  const char* end = text.data();
  for (const Token& token : SplitWords(text)) {
    Require(!token.text.empty() && token.text.data() >= end, "tokens in order");
    end = token.text.data() + token.text.size();
  }
  Require(end <= text.data() + text.size(), "tokens of the text");
}

void CheckHalves(std::string_view text, bool utf8) {
  const std::optional<Halves> halves = SplitInHalves(text);
  if (!halves) return;
  const auto& [first, second] = *halves;
  Require(!first.empty() && !second.empty() && text.starts_with(first) && text.ends_with(second), "two halves");
  Require(first.size() + second.size() <= text.size(), "halves that do not overlap");
  for (const Character& character : Characters(text.substr(first.size(), text.size() - first.size() - second.size()))) {
    Require(character.kind == CharacterKind::kSpace, "nothing but spaces at the cut");
  }
  const std::optional<Halves> masked = MaskSharedWords(first, second);
  if (!masked) return;
  Require(!masked->first.empty() && !masked->second.empty(), "words in both halves");
  Require(!utf8 || (IsUtf8(masked->first, nullptr) && IsUtf8(masked->second, nullptr)), "halves in UTF-8");
}

void Check(std::string_view text) {
  const uint8_t seed = fuzz::TakeByte(text);
  const bool utf8 = IsUtf8(text, nullptr);
  CheckWords(text);
  CheckHalves(text, utf8);
  const std::string view = AugmentedView(text, seed, 1);
  Require(!utf8 || IsUtf8(view, nullptr), "a view in UTF-8");
  Require(view.empty() == text.empty() && view == AugmentedView(text, seed, 1), "the same view of the same seed");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
