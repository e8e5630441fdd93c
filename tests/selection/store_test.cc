// What every store promises, of all three.
#include "server/selection/store.h"

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/selection/records.h"
#include "tests/selection/redis_server.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string kind = GetParam();
    url_ = kind;
    if (kind == "file") url_ = "file:" + (dir_.path() / "made" / "by the store").string();
    if (kind == "redis") {
      MIDLAYER_SKIP_WITHOUT_REDIS();
      redis_ = std::make_unique<RedisServer>();
      ASSERT_TRUE(redis_->Ready());
      url_ = redis_->Url();
    }
    store_ = Open("scope");
  }

  bool Shared() const { return url_ != "memory"; }

  std::unique_ptr<SelectionStore> Open(const std::string& scope) {
    StoreOptions options;
    // Sanitizers and a busy machine take their time.
    options.connect_timeout = options.command_timeout = absl::Seconds(20);
    options.on_damaged = [](std::string_view what) { ADD_FAILURE() << what; };
    auto store = OpenStore(url_, scope, options);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  // Puts the record of this number.
  std::string Put(int number, const std::string& author = "test") {
    const SelectionRecord record = MakeRecord(number, author);
    const absl::Status status = store_->Put(record, "report");
    EXPECT_TRUE(status.ok()) << status;
    return record.id;
  }

  TempDir dir_;
  std::unique_ptr<RedisServer> redis_;
  std::string url_;
  std::unique_ptr<SelectionStore> store_;
};

// Those that several objects, and so several processes, share.
class SharedStoreTest : public StoreTest {};

TEST_P(StoreTest, Empty) {
  const std::string id = MakeRecord(1).id;
  EXPECT_TRUE(store_->List()->empty());
  EXPECT_EQ(*store_->Promoted(), "");
  for (const absl::Status& status : {store_->Get(id).status(), store_->Report(id).status(), store_->Delete(id),
                                     store_->Promote(id, std::nullopt).status(), store_->Promote(id, "").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(status.message(), "selection " + id + ": not in the store");
  }
  EXPECT_EQ(*store_->Promote("", std::nullopt), "");
  EXPECT_EQ(*store_->Promote("", ""), "");
}

TEST_P(StoreTest, PutAndGet) {
  const SelectionRecord record = MakeRecord(1);
  std::string bytes;
  for (int i = 0; i < 3'000'000; ++i) bytes.push_back(static_cast<char>(i));
  for (const std::string& report : {std::string(), std::string("a\0b\r\n", 5), bytes, std::string("shorter")}) {
    ASSERT_TRUE(store_->Put(record, report).ok());
    EXPECT_EQ(*store_->Report(record.id), report);
    EXPECT_EQ(*store_->Get(record.id), record);
  }
  EXPECT_EQ(store_->List()->size(), 1u);
}

TEST_P(StoreTest, PutAgainReplaces) {
  SelectionRecord record = MakeRecord(1);
  ASSERT_TRUE(store_->Put(record, "a").ok());
  record.reason = "said in other words";
  record.created_unix_seconds += 10;
  ASSERT_TRUE(store_->Put(record, "b").ok());
  EXPECT_THAT(*store_->List(), ElementsAre(record));
  EXPECT_EQ(*store_->Report(record.id), "b");
}

TEST_P(StoreTest, ListIsNewestFirst) {
  for (const int number : {3, 1, 5, 2, 4}) Put(number);
  SelectionRecord same_second = MakeRecord(6);
  same_second.created_unix_seconds = MakeRecord(3).created_unix_seconds;
  ASSERT_TRUE(store_->Put(same_second, "").ok());
  std::vector<SelectionRecord> of_one_second = {MakeRecord(3), same_second};
  if (of_one_second[1].id < of_one_second[0].id) std::swap(of_one_second[0], of_one_second[1]);
  EXPECT_THAT(*store_->List(), ElementsAre(MakeRecord(5), MakeRecord(4), of_one_second[0], of_one_second[1],
                                           MakeRecord(2), MakeRecord(1)));
}

TEST_P(StoreTest, Promote) {
  const std::string a = Put(1), b = Put(2);
  EXPECT_EQ(*store_->Promoted(), "");
  EXPECT_EQ(*store_->Promote(a, std::nullopt), "");
  EXPECT_EQ(*store_->Promoted(), a);
  EXPECT_EQ(*store_->Promote(a, std::nullopt), a);
  EXPECT_EQ(*store_->Promote(b, a), a);
  EXPECT_EQ(*store_->Promoted(), b);
  EXPECT_EQ(*store_->Promote("", b), b);
  EXPECT_EQ(*store_->Promoted(), "");
  EXPECT_EQ(*store_->Promote(a, ""), "");
  EXPECT_EQ(*store_->Promoted(), a);
}

TEST_P(StoreTest, PromoteComparesFirst) {
  const std::string a = Put(1), b = Put(2);
  const auto refused = [this](const std::string& id, const std::string& expected) {
    const absl::Status status = store_->Promote(id, expected).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  EXPECT_EQ(refused(b, a), "promoted selection: expected " + a + ", found none");
  EXPECT_EQ(*store_->Promoted(), "");
  ASSERT_TRUE(store_->Promote(a, std::nullopt).ok());
  EXPECT_EQ(refused(b, b), "promoted selection: expected " + b + ", found " + a);
  EXPECT_EQ(refused(b, ""), "promoted selection: expected none, found " + a);
  EXPECT_EQ(refused("", b), "promoted selection: expected " + b + ", found " + a);
  EXPECT_EQ(*store_->Promoted(), a);
  EXPECT_EQ(store_->Promote(MakeRecord(9).id, a).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_->Promoted(), a);
}

TEST_P(StoreTest, Delete) {
  const std::string a = Put(1), b = Put(2);
  ASSERT_TRUE(store_->Promote(a, std::nullopt).ok());
  const absl::Status refused = store_->Delete(a);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(a));
  EXPECT_TRUE(store_->Delete(b).ok());
  EXPECT_EQ(store_->Delete(b).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Report(b).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*store_->List(), ElementsAre(MakeRecord(1)));
  ASSERT_TRUE(store_->Promote("", std::nullopt).ok());
  EXPECT_TRUE(store_->Delete(a).ok());
  EXPECT_TRUE(store_->List()->empty());
  Put(1);
  EXPECT_EQ(*store_->Get(a), MakeRecord(1));
}

TEST_P(StoreTest, BadIds) {
  const std::string good = MakeRecord(1).id;
  const std::string cases[] = {"promoted",
                               "../" + good,
                               "..",
                               "/etc/passwd",
                               good.substr(1),
                               good + "0",
                               std::string(64, 'A'),
                               std::string(64, '\0'),
                               std::string(64, '/'),
                               "\xFF"};
  for (const std::string& id : cases) {
    for (const absl::Status& status : {store_->Get(id).status(), store_->Report(id).status(), store_->Delete(id),
                                       store_->Promote(id, std::nullopt).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
      EXPECT_THAT(std::string(status.message()), HasSubstr("id: expected 64 lower-case hexadecimal digits"));
    }
    const absl::Status status = store_->Promote(Put(1), id).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected current: "));
  }
  EXPECT_EQ(store_->Get("").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(StoreTest, BadRecordsAreNotStored) {
  SelectionRecord record = MakeRecord(1);
  record.layer = 2;  // does not fit the id
  EXPECT_EQ(store_->Put(record, "").code(), absl::StatusCode::kInvalidArgument);
  record = MakeRecord(1);
  record.reason = "\xFF";
  EXPECT_EQ(store_->Put(record, "").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(store_->List()->empty());
}

TEST_P(SharedStoreTest, OthersSeeWhatIsDoneHere) {
  const std::unique_ptr<SelectionStore> other = Open("scope");
  const std::string a = Put(1), b = Put(2);
  EXPECT_EQ(*other->Get(a), MakeRecord(1));
  EXPECT_EQ(*other->Report(a), "report");
  ASSERT_TRUE(store_->Promote(a, std::nullopt).ok());
  EXPECT_EQ(*other->Promoted(), a);
  EXPECT_EQ(*other->Promote(b, a), a);
  EXPECT_EQ(*store_->Promoted(), b);
  EXPECT_EQ(store_->Delete(b).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(other->Delete(a).ok());
  store_.reset();
  EXPECT_EQ(*Open("scope")->Promoted(), b);
}

TEST_P(SharedStoreTest, ScopesDoNotSeeEachOther) {
  const std::unique_ptr<SelectionStore> other = Open("scope2");
  const std::string a = Put(1);
  ASSERT_TRUE(store_->Promote(a, std::nullopt).ok());
  EXPECT_TRUE(other->List()->empty());
  EXPECT_EQ(*other->Promoted(), "");
  EXPECT_EQ(other->Get(a).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(StoreTest, WaitEndsWithItsTimeout) {
  for (int i = 0; i < 3; ++i) store_->WaitForChange(absl::Milliseconds(1));
  store_->WaitForChange(absl::ZeroDuration());
  store_->WaitForChange(-absl::Seconds(1));
}

// Waits until `done`, through WaitForChange() alone: with this timeout it never ends by itself.
testing::AssertionResult WaitUntil(SelectionStore* store, const std::function<bool()>& done) {
  auto waiting = std::async(std::launch::async, [&] {
    while (!done()) store->WaitForChange(absl::Hours(1));
  });
  if (waiting.wait_for(std::chrono::seconds(30)) == std::future_status::ready) return testing::AssertionSuccess();
  while (waiting.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) store->Interrupt();
  return testing::AssertionFailure() << "nothing ended the wait";
}

TEST_P(StoreTest, WaitEndsWithAChangeHere) {
  const std::string a = Put(1);
  auto promoting = std::async(std::launch::async, [&] { return store_->Promote(a, std::nullopt).ok(); });
  EXPECT_TRUE(WaitUntil(store_.get(), [&] { return *store_->Promoted() == a; }));
  EXPECT_TRUE(promoting.get());
}

TEST_P(SharedStoreTest, WaitEndsWithAChangeElsewhere) {
  const std::unique_ptr<SelectionStore> other = Open("scope");
  // The first calls may return early.
  for (int i = 0; i < 3; ++i) store_->WaitForChange(absl::Milliseconds(1));
  for (int i = 0; i < 20; ++i) {
    const SelectionRecord record = MakeRecord(i);
    auto changing = std::async(std::launch::async, [&] {
      return other->Put(record, "").ok() && other->Promote(record.id, std::nullopt).ok();
    });
    EXPECT_TRUE(WaitUntil(store_.get(), [&] { return *store_->Promoted() == record.id; }));
    EXPECT_TRUE(changing.get());
  }
  auto deleting = std::async(std::launch::async, [&] { return other->Delete(MakeRecord(0).id).ok(); });
  EXPECT_TRUE(WaitUntil(store_.get(), [&] { return !store_->Get(MakeRecord(0).id).ok(); }));
  EXPECT_TRUE(deleting.get());
}

TEST_P(StoreTest, InterruptEndsTheWaitOrTheNextOne) {
  for (int i = 0; i < 20; ++i) {
    store_->Interrupt();
    store_->WaitForChange(absl::Hours(1));
    bool interrupted = false;
    std::mutex mutex;
    auto interrupting = std::async(std::launch::async, [&] {
      std::lock_guard lock(mutex);
      interrupted = true;
      store_->Interrupt();
    });
    EXPECT_TRUE(WaitUntil(store_.get(), [&] {
      std::lock_guard lock(mutex);
      return interrupted;
    }));
    interrupting.get();
  }
}

// Threads that take turns by compare-and-set alone: had two won against the same one, a selection would have two
// followers.
TEST_P(StoreTest, OneOfManyWinsEachPromotion) {
  constexpr int kThreads = 4, kWins = 15;
  const std::unique_ptr<SelectionStore> other = Shared() ? Open("scope") : nullptr;
  std::mutex mutex;
  std::map<std::string, std::string> follower;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      SelectionStore* const store = other != nullptr && t % 2 == 1 ? other.get() : store_.get();
      for (int wins = 0; wins < kWins;) {
        const SelectionRecord record = MakeRecord(wins, absl::StrCat("thread ", t));
        ASSERT_TRUE(store->Put(record, "").ok());
        const std::string current = *store->Promoted();
        const auto previous = store->Promote(record.id, current);
        if (previous.ok()) {
          EXPECT_EQ(*previous, current);
          std::lock_guard lock(mutex);
          EXPECT_TRUE(follower.emplace(current, record.id).second) << current << " was replaced twice";
          ++wins;
        } else {
          EXPECT_EQ(previous.status().code(), absl::StatusCode::kFailedPrecondition) << previous.status();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // From the first to the last: a chain without gaps.
  std::string id;
  for (int i = 0; i < kThreads * kWins; ++i) {
    ASSERT_TRUE(follower.contains(id)) << "link " << i;
    id = follower[id];
  }
  EXPECT_EQ(id, *store_->Promoted());
  EXPECT_EQ(store_->List()->size(), static_cast<size_t>(kThreads * kWins));
}

TEST_P(StoreTest, NamesItself) { EXPECT_TRUE(store_->name().starts_with(GetParam())) << store_->name(); }

std::string Name(const testing::TestParamInfo<const char*>& test) { return test.param; }

INSTANTIATE_TEST_SUITE_P(All, StoreTest, testing::Values("memory", "file", "redis"), Name);
INSTANTIATE_TEST_SUITE_P(All, SharedStoreTest, testing::Values("file", "redis"), Name);

TEST(NoStoreTest, KeepsAndPromotesNothing) {
  const std::unique_ptr<SelectionStore> store = OpenStore("none", "scope").value();
  EXPECT_FALSE(store->keeps());
  const SelectionRecord record = MakeRecord(1);
  EXPECT_EQ(store->Put(record, "report").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store->Promote("", std::nullopt).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store->Get(record.id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->List()->empty());
  EXPECT_EQ(*store->Promoted(), "");
}

TEST(OpenStoreTest, RefusesWhatItDoesNotKnow) {
  const TempDir dir;
  const std::pair<std::string, const char*> cases[] = {
      {"", "expected none, memory, file:DIR, redis://HOST or rediss://HOST"},
      {"Memory", "expected none, memory, file:DIR"},
      {"postgres://me:hunter2@host", "expected none, memory, file:DIR"},
      {dir.path().string(), "expected none, memory, file:DIR"},
      {"file:", "expected a directory"},
      {std::string("file:a\0b", 8), "expected a directory"},
      {"redis:host", "expected none, memory, file:DIR"},
      {"redis://", "host: expected"},
      {"redis://host:hunter2", "port: expected"},
  };
  for (const auto& [url, expected] : cases) {
    const absl::Status status = OpenStore(url, "scope").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected));
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("hunter2")));
  }
  const std::string scopes[] = {
      "", ".", "..", ".hidden", "a/b", "a b", "a}b", "\xC3\xA9", std::string(129, 'a'), std::string("a\0b", 3)};
  for (const std::string& scope : scopes) {
    const absl::Status status = OpenStore("memory", scope).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << scope;
    EXPECT_THAT(std::string(status.message()), HasSubstr("scope: expected"));
  }
  for (const std::string& scope : {std::string("a"), std::string("a.B_c-9"), std::string(128, 'f')}) {
    EXPECT_TRUE(OpenStore("memory", scope).ok()) << scope;
  }
}

}  // namespace
}  // namespace midlayer
