// What of a caller's metadata may stand in the log.
#include "server/service/call_tags.h"

#include <gtest/gtest.h>

#include <string>

namespace midlayer {
namespace {

TEST(RequestIdTest, IsWhatCannotForgeALineOfTheLog) {
  EXPECT_TRUE(IsRequestId("7b2f"));
  EXPECT_TRUE(IsRequestId("0190b5c4-71d6-7c3e-9a53-0f2d1c4b5a69"));
  EXPECT_TRUE(IsRequestId("edge/eu-1:42+a=b@c._"));
  EXPECT_TRUE(IsRequestId(std::string(128, 'a')));
  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId(std::string(129, 'a')));
  EXPECT_FALSE(IsRequestId("two words"));
  EXPECT_FALSE(IsRequestId("line\nbreak"));
  EXPECT_FALSE(IsRequestId("quote\""));
  EXPECT_FALSE(IsRequestId("\x1f"));
  EXPECT_FALSE(IsRequestId("\xc3\xa9"));
}

TEST(TraceparentTest, IsVersionTraceParentAndFlags) {
  // The example of the specification.
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_TRUE(IsTraceparent(good));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = i == 2 || i == 35 || i == 52 ? '0' : 'G';
    EXPECT_FALSE(IsTraceparent(bad)) << bad;
  }
  EXPECT_FALSE(IsTraceparent("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")) << "upper case";
  EXPECT_FALSE(IsTraceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01")) << "no trace";
  EXPECT_FALSE(IsTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")) << "no parent";
  EXPECT_FALSE(IsTraceparent(good + "-x"));
  EXPECT_FALSE(IsTraceparent(good.substr(1)));
  EXPECT_FALSE(IsTraceparent(""));
}

}  // namespace
}  // namespace midlayer
