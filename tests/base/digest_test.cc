#include "server/base/digest.h"

#include <array>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

TEST(Sha256Test, KnownAnswers) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const auto& [text, expected] : cases) {
    Sha256 sha;
    sha.Update(text);
    EXPECT_EQ(sha.Finish(), expected) << text.size() << " bytes";
  }
}

TEST(Sha256Test, PiecesBytesAndMoves) {
  Sha256 first;
  first.Update("a");
  Sha256 second = std::move(first);
  second.Update(std::array{std::byte{'b'}});
  first = std::move(second);
  first.Update("c");
  EXPECT_EQ(first.Finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace midlayer
