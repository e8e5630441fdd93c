// What is kept, what makes room, and what counts as the same text.
#include "server/engine/vector_cache.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::ElementsAre;

const std::vector<PoolSlot> kSlots = {{.layer = 1}, {.layer = 2}};

VectorCache::Text TextOf(float x) { return {.pooled = {{x, 1}, {x, 2}}, .tokens = 3, .truncated = true}; }

TEST(VectorCacheTest, GivesBackWhatItWasGiven) {
  Telemetry telemetry;
  VectorCache cache(10, &telemetry);
  EXPECT_FALSE(cache.Find("a", kSlots));
  cache.Insert("a", kSlots, TextOf(7));
  const auto found = cache.Find("a", kSlots);
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->pooled, ElementsAre(ElementsAre(7, 1), ElementsAre(7, 2)));
  EXPECT_EQ(found->tokens, 3);
  EXPECT_TRUE(found->truncated);
  EXPECT_FALSE(cache.Find("b", kSlots));
}

TEST(VectorCacheTest, SlotsAreKeptOneByOne) {
  Telemetry telemetry;
  VectorCache cache(10, &telemetry);
  cache.Insert("a", kSlots, TextOf(7));
  EXPECT_THAT(cache.Find("a", {kSlots[1]})->pooled, ElementsAre(ElementsAre(7, 2)));
  for (const PoolSlot& other : {PoolSlot{.layer = 3}, PoolSlot{.layer = 1, .state = State::kNormed},
                                PoolSlot{.layer = 1, .pooling = Pooling::kMax}, PoolSlot{.layer = 1, .dense = true}}) {
    EXPECT_FALSE(cache.Find("a", {other}));
    EXPECT_FALSE(cache.Find("a", {kSlots[0], other})) << "a part is not enough";
  }
}

TEST(VectorCacheTest, TheLeastRecentlyUsedMakesRoom) {
  Telemetry telemetry;
  VectorCache cache(3, &telemetry);
  const std::vector<PoolSlot> one = {kSlots[0]};
  for (const char* key : {"a", "b", "c"}) cache.Insert(key, one, TextOf(1));
  EXPECT_TRUE(cache.Find("a", one));
  cache.Insert("d", one, TextOf(1));
  EXPECT_FALSE(cache.Find("b", one));
  for (const char* key : {"a", "c", "d"}) EXPECT_TRUE(cache.Find(key, one)) << key;
}

TEST(VectorCacheTest, MoreSlotsThanThereIsRoomForAreNotFound) {
  Telemetry telemetry;
  VectorCache cache(1, &telemetry);
  cache.Insert("a", kSlots, TextOf(1));
  EXPECT_FALSE(cache.Find("a", kSlots));
  EXPECT_TRUE(cache.Find("a", {kSlots[1]}));
}

TEST(VectorCacheTest, EverythingThatChangesTheTokensIsInTheKey) {
  const EmbedTask task{.texts = {"text", "other"}, .prompt = "prompt"};
  const std::string key = VectorCache::KeyOf(task, 0);
  EXPECT_EQ(VectorCache::KeyOf({.texts = {"x", "text"}, .prompt = "prompt", .priority = Priority::kBulk}, 1), key);
  EXPECT_NE(VectorCache::KeyOf(task, 1), key);
  EXPECT_NE(VectorCache::KeyOf({.texts = {"text"}}, 0), key);
  EXPECT_NE(VectorCache::KeyOf({.texts = {"ttext"}, .prompt = "promp"}, 0), key) << "the same bytes";
  EXPECT_NE(VectorCache::KeyOf({.texts = {"text"}, .prompt = "prompt", .truncation = Truncation::kLeft}, 0), key);
}

// Threads that meet on a few keys find whole answers only.
TEST(VectorCacheTest, ThreadsShareIt) {
  Telemetry telemetry;
  VectorCache cache(5, &telemetry);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&cache, thread] {
      for (int i = 0; i < 2000; ++i) {
        const int number = (i * 7 + thread) % 11;
        const std::string key = absl::StrCat(number);
        const auto x = static_cast<float>(number);
        if (const auto found = cache.Find(key, kSlots)) {
          EXPECT_THAT(found->pooled, ElementsAre(ElementsAre(x, 1), ElementsAre(x, 2)));
        } else {
          cache.Insert(key, kSlots, TextOf(x));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace midlayer
