// Stores that several processes use, and processes that are killed.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/selection/store.h"
#include "tests/selection/child_process.h"
#include "tests/selection/records.h"
#include "tests/selection/redis_server.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<ChildProcess> StartStoreProcess(const std::string& url, const std::string& mode,
                                                const std::string& name) {
  return std::make_unique<ChildProcess>(MIDLAYER_BINARY_DIR "/store_process", "store_process",
                                        std::vector<std::string>{url, "scope", mode, name});
}

// Two processes compare-and-set against the same id, round after round: one wins, the other is told so.
void CompeteFor(const std::string& url, int rounds) {
  const std::unique_ptr<ChildProcess> competitors[] = {StartStoreProcess(url, "compete", "a"),
                                                       StartStoreProcess(url, "compete", "b")};
  auto store = OpenStore(url, "scope");
  ASSERT_TRUE(store.ok()) << store.status();
  std::string promoted;
  for (int round = 0; round < rounds; ++round) {
    for (const auto& competitor : competitors) competitor->Write(promoted + "\n");
    std::vector<std::string> winners;
    for (const auto& competitor : competitors) {
      const std::optional<std::string> line = competitor->ReadLine();
      ASSERT_TRUE(line) << "a process ended in round " << round;
      if (line->starts_with("won ")) winners.push_back(line->substr(4));
    }
    ASSERT_EQ(winners.size(), 1u) << "round " << round;
    promoted = winners[0];
    ASSERT_EQ(*(*store)->Promoted(), promoted);
  }
}

TEST(StoreProcessTest, TwoProcessesCompeteForAFile) {
  const TempDir dir;
  CompeteFor("file:" + dir.path().string(), 200);
}

TEST(StoreProcessTest, TwoProcessesCompeteForRedis) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis;
  ASSERT_TRUE(redis.Ready());
  CompeteFor(redis.Url(), 200);
}

// What is known of a store from what its writers said before they were killed.
class Ledger {
 public:
  void Said(const std::string& line) {
    const size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank), id = line.substr(blank + 1);
    if (word != "done") {
      step_ = word;
      step_id_ = id;
      if (word == "delete") kept_.erase(id);  // from here on it may be gone
      if (word == "promote") begun_ = id;
      return;
    }
    ASSERT_EQ(step_id_, id);
    if (step_ == "put") kept_.insert(id);
    if (step_ == "promote") promoted_ = id;
    if (step_ == "delete") gone_.insert(id);
    if (step_ == "promote") ++promotions_;
  }

  // `store` was opened anew.
  void Check(SelectionStore* store) {
    const auto promoted = store->Promoted();
    ASSERT_TRUE(promoted.ok()) << promoted.status();
    // The last that was acknowledged, or one whose promotion began after it.
    EXPECT_TRUE(*promoted == promoted_ || *promoted == begun_) << *promoted << ", acknowledged: " << promoted_;
    promoted_ = begun_ = *promoted;
    const auto records = store->List();
    ASSERT_TRUE(records.ok()) << records.status();
    std::set<std::string> ids;
    for (const SelectionRecord& record : *records) {
      ids.insert(record.id);
      EXPECT_EQ(*store->Report(record.id), "report of " + record.id);
      EXPECT_FALSE(gone_.contains(record.id));
    }
    for (const std::string& id : kept_) EXPECT_TRUE(ids.contains(id)) << id << " was acknowledged, and is lost";
    EXPECT_TRUE(promoted_.empty() || ids.contains(promoted_));
    gone_.clear();
  }

  int promotions() const { return promotions_; }

  // Deletes all but the promoted one, so that the next rounds are quick.
  void Tidy(SelectionStore* store) {
    const auto records = store->List();
    ASSERT_TRUE(records.ok()) << records.status();
    for (const SelectionRecord& record : *records) {
      EXPECT_TRUE(record.id == promoted_ || store->Delete(record.id).ok());
    }
    kept_ = {promoted_};
    kept_.erase("");
  }

 private:
  std::string step_, step_id_;         // the last that began
  std::string promoted_, begun_;       // acknowledged; begun after it
  std::set<std::string> kept_, gone_;  // acknowledged
  int promotions_ = 0;                 // acknowledged
};

// In memory where there is a place for it: a killed process leaves to the kernel what it wrote, and a disk that is busy
// would make a thousand rounds take minutes.
fs::path QuickDirectory() {
  const fs::path memory = "/dev/shm";
  return access(memory.c_str(), W_OK | X_OK) == 0 ? memory : fs::temp_directory_path();
}

TEST(StoreProcessTest, FileSurvivesAThousandKills) {
  const TempDir dir(QuickDirectory());
  const std::string url = "file:" + dir.path().string();
  StoreOptions options;
  options.on_damaged = [](std::string_view what) { ADD_FAILURE() << what; };
  std::mt19937 random(20240229);
  Ledger ledger;
  int half_done = 0;
  for (int round = 0; round < 1000 && !testing::Test::HasFailure(); ++round) {
    const auto writer = StartStoreProcess(url, "write", absl::StrCat("round ", round));
    // At any point of any step: after some lines, and then some time that ends within one of the next steps.
    const int lines = std::uniform_int_distribution<int>(1, 7)(random);
    for (int i = 0; i < lines; ++i) {
      const std::optional<std::string> line = writer->ReadLine();
      ASSERT_TRUE(line) << "the process ended in round " << round;
      ledger.Said(*line);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 1500)(random)));
    writer->Kill();
    while (const std::optional<std::string> line = writer->ReadLine()) ledger.Said(*line);
    for (const auto& entry : fs::directory_iterator(dir.path() / "scope")) {
      half_done += entry.path().extension() == ".tmp" ? 1 : 0;
    }
    const auto store = OpenStore(url, "scope", options);
    ASSERT_TRUE(store.ok()) << store.status();
    ledger.Check(store->get());
    ledger.Tidy(store->get());
    for (const auto& entry : fs::directory_iterator(dir.path() / "scope")) {
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path() << " was not swept";
    }
  }
  EXPECT_GT(ledger.promotions(), 200);
  // That kills hit writes in the middle is what the test is for.
  EXPECT_GT(half_done, 10);
  std::printf("%d promotions acknowledged, %d files found half written\n", ledger.promotions(), half_done);
}

}  // namespace
}  // namespace midlayer
