#include "server/engine/background_share.h"

#include "gtest/gtest.h"

namespace midlayer {
namespace {

TEST(BackgroundShareTest, IsATenthOfABusyRunner) {
  BackgroundShare share;
  absl::Duration background, rest;
  for (int step = 0; step < 1000; ++step) {
    if (share.IsDue()) {
      share.BackgroundTook(absl::Milliseconds(7));
      background += absl::Milliseconds(7);
    } else {
      share.RestTook(absl::Milliseconds(3));
      rest += absl::Milliseconds(3);
    }
  }
  EXPECT_NEAR(absl::FDivDuration(background, background + rest), 0.1, 0.01);
}

TEST(BackgroundShareTest, IsDueAtFirstAndNotHeldAgainstWhatItTookOfAnIdleRunner) {
  BackgroundShare share;
  EXPECT_TRUE(share.IsDue());
  for (int step = 0; step < 100; ++step) share.BackgroundTook(absl::Seconds(1));
  EXPECT_FALSE(share.IsDue());
  share.RestTook(absl::Seconds(8));
  EXPECT_FALSE(share.IsDue());
  share.RestTook(absl::Seconds(1));
  EXPECT_TRUE(share.IsDue());
  share.RestTook(absl::Seconds(1000));
  share.BackgroundTook(absl::Seconds(1));
  EXPECT_FALSE(share.IsDue()) << "time without background work is not saved up";
}

}  // namespace
}  // namespace midlayer
