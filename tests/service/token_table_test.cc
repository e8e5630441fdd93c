#include "server/service/token_table.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kAlice[] = "alice-0123456789abcdef";
constexpr char kRoot[] = "root._~+/=0123456789";

TEST(TokenTableTest, FindsCallersByTheirTokens) {
  const auto table = TokenTable::Parse(
      "# who may call\r\n\r\nalice alice-0123456789abcdef\r\n\troot  root._~+/=0123456789 \t admin\nalice "
      "another-0123456789\n");
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_NE(table->Find(kAlice), nullptr);
  EXPECT_EQ(table->Find(kAlice)->name, "alice");
  EXPECT_FALSE(table->Find(kAlice)->admin);
  EXPECT_EQ(table->Find("another-0123456789")->name, "alice") << "two tokens of one name";
  EXPECT_TRUE(table->Find(kRoot)->admin);
  for (const char* token :
       {"", "alice", "alice-0123456789abcde", "alice-0123456789abcdeff", "ALICE-0123456789abcdef"}) {
    EXPECT_EQ(table->Find(token), nullptr) << token;
  }
}

TEST(TokenTableTest, WhatIsWrongIsToldWithoutTheToken) {
  const struct {
    std::string text, message;
  } cases[] = {
      {"", "expected a line NAME TOKEN [admin], found none"},
      {"# only this\n", "found none"},
      {"secret-0123456789\n", "line 1: expected NAME TOKEN [admin], found 1 words"},
      {"\na secret-0123456789 admin x\n", "line 2: expected NAME TOKEN [admin], found 4 words"},
      {"a secret-0123456789 root\n", "line 1: expected admin or nothing behind the token"},
      {"a secret-shor\n", "line 1: expected a token of 16 to 512 characters, found 11"},
      {"a " + std::string(513, 's'), "line 1: expected a token of 16 to 512 characters, found 513"},
      {"a secret,0123456789\n", "line 1: expected a token of letters, digits and -._~+/="},
      {"a secret-0123456789\nb secret-0123456789\n", "line 2: expected each token once, found one again"},
  };
  for (const auto& test : cases) {
    const absl::Status status = TokenTable::Parse(test.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace midlayer
