// Which keys are beside which.
#include "server/augment/keyboard.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

std::u32string Sorted(std::u32string_view text) {
  std::u32string sorted(text);
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

TEST(KeyboardTest, NeighboursOfKeys) {
  const struct {
    const Keyboard& keyboard;
    char32_t key;
    const char32_t* neighbours;
  } cases[] = {
      {Qwerty(), U'g', U"tTyYfFhHvVbB"},
      {Qwerty(), U'G', U"tTyYfFhHvVbB"},
      {Qwerty(), U'q', U"1!2@wWaA"},
      {Qwerty(), U'1', U"`~2@qQ"},
      {Qwerty(), U'@', U"1!3#qQwW"},
      {Qwerty(), U'm', U"nN,<jJkK"},
      {Qwerty(), U'é', U""},
      {Qwerty(), U' ', U""},
      {Dubeolsik(), U'ㅎ', U"ㄹㅗㅅㅆㅛㅍㅠ"},
      {Dubeolsik(), U'ㅃ', U"ㅈㅉㅁ"},
      {Dubeolsik(), U'ㅣ', U"ㅏㅐㅒㅔㅖ"},
      {Dubeolsik(), U'a', U""},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Sorted(test.keyboard.Neighbours(test.key)), Sorted(test.neighbours)) << static_cast<uint32_t>(test.key);
  }
}

TEST(KeyboardTest, BeingBesideGoesBothWays) {
  for (const Keyboard* keyboard : {&Qwerty(), &Dubeolsik()}) {
    int keys = 0;
    for (char32_t key = 0x20; key < 0x3200; ++key) {
      for (const char32_t other : keyboard->Neighbours(key)) {
        EXPECT_NE(other, key);
        EXPECT_NE(keyboard->Neighbours(other).find(key), std::u32string_view::npos) << static_cast<uint32_t>(key);
      }
      keys += keyboard->Neighbours(key).empty() ? 0 : 1;
    }
    EXPECT_EQ(keys, keyboard == &Qwerty() ? 94 : 33);
  }
}

}  // namespace
}  // namespace midlayer
