#include "server/engine/chunk_sizer.h"

#include "gtest/gtest.h"

namespace midlayer {
namespace {

// A machine that takes so long for one layer of one token.
int64_t Settled(absl::Duration token_time, int64_t most = 1 << 20) {
  ChunkSizer sizer(most);
  for (int i = 0; i < 50; ++i) sizer.Took(sizer.tokens(), token_time * sizer.tokens());
  return sizer.tokens();
}

TEST(ChunkSizerTest, OneLayerOfAChunkTakesAboutAsLongAsItMay) {
  EXPECT_NEAR(static_cast<double>(Settled(absl::Microseconds(20))), 500, 10);
  EXPECT_NEAR(static_cast<double>(Settled(absl::Nanoseconds(500))), 20000, 400);
}

TEST(ChunkSizerTest, StaysWithinItsBounds) {
  EXPECT_EQ(Settled(absl::Milliseconds(10)), 64) << "a slow machine still gets some work done at once";
  EXPECT_EQ(Settled(absl::Nanoseconds(1), 4096), 4096);
  EXPECT_EQ(Settled(absl::Milliseconds(10), 16), 16);
  EXPECT_EQ(ChunkSizer(0).tokens(), 1);
}

TEST(ChunkSizerTest, OneSlowPassDoesNotThrowItOff) {
  ChunkSizer sizer(1 << 20);
  for (int i = 0; i < 50; ++i) sizer.Took(sizer.tokens(), absl::Microseconds(5) * sizer.tokens());
  const int64_t before = sizer.tokens();
  sizer.Took(before, absl::Seconds(10));
  EXPECT_GE(sizer.tokens(), before / 2 - 1);
  sizer.Took(0, absl::Seconds(1));
  sizer.Took(100, absl::ZeroDuration());
  EXPECT_GE(sizer.tokens(), before / 2 - 1) << "what says nothing changes nothing";
}

}  // namespace
}  // namespace midlayer
