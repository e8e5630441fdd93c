// The store in Redis against a Redis that fails.
#include "server/selection/redis_store.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "server/selection/promoted_selection.h"
#include "server/selection/redis_connection.h"
#include "tests/selection/records.h"
#include "tests/selection/redis_server.h"

namespace midlayer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::unique_ptr<SelectionStore> Open(const std::string& url, StoreOptions options = {}) {
  auto store = OpenStore(url, "scope", options);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

// Enough for a busy machine.
StoreOptions Patient() {
  StoreOptions options;
  options.connect_timeout = options.command_timeout = absl::Seconds(20);
  return options;
}

void ExpectUnavailable(const absl::Status& status, const std::string& place) {
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(place));
}

// A raw command, to look at the keys and to damage them.
void Raw(const RedisServer& redis, const RedisConnection::Arguments& command) {
  auto connector = RedisConnector::Create(*ParseRedisUrl(redis.Url()), {absl::Seconds(20), absl::Seconds(20)});
  ASSERT_TRUE(connector.ok()) << connector.status();
  auto connection = (*connector)->Connect();
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto reply = (*connection)->Command(command);
  ASSERT_TRUE(reply.ok()) << reply.status();
}

TEST(RedisStoreTest, NobodyListens) {
  const auto store = Open("redis://127.0.0.1:1");
  const std::string id = MakeRecord(1).id, place = "redis://127.0.0.1:1/0: ";
  for (int i = 0; i < 3; ++i) {  // the later ones fail at once
    ExpectUnavailable(store->Get(id).status(), place);
    ExpectUnavailable(store->Report(id).status(), place);
    ExpectUnavailable(store->List().status(), place);
    ExpectUnavailable(store->Promoted().status(), place);
    ExpectUnavailable(store->Promote("", std::nullopt).status(), place);
    ExpectUnavailable(store->Put(MakeRecord(1), ""), place);
    ExpectUnavailable(store->Delete(id), place);
    store->WaitForChange(absl::Milliseconds(1));
  }
  store->Interrupt();
  store->WaitForChange(absl::Hours(1));
}

TEST(RedisStoreTest, NoSuchHost) {
  ExpectUnavailable(Open("redis://no-such-host.invalid:7000")->Promoted().status(),
                    "redis://no-such-host.invalid:7000/0: ");
}

TEST(RedisStoreTest, DatabasesAreApart) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis;
  const auto store = Open(redis.Url(), Patient()), other = Open(redis.Url() + "/3", Patient());
  ASSERT_TRUE(store->Put(MakeRecord(1), "").ok());
  EXPECT_TRUE(other->List()->empty());
  ExpectUnavailable(Open(redis.Url() + "/99", Patient())->List().status(), "DB index is out of range");
}

TEST(RedisStoreTest, DamagedValuesAreNamedAndTheOthersServed) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis;
  std::vector<std::string> damaged;
  StoreOptions options = Patient();
  options.on_damaged = [&](std::string_view what) { damaged.emplace_back(what); };
  const auto store = Open(redis.Url(), options);
  const std::string id = MakeRecord(2).id;
  ASSERT_TRUE(store->Put(MakeRecord(1), "").ok());
  ASSERT_TRUE(store->Put(MakeRecord(2), "").ok());
  Raw(redis, {"HSET", "midlayer:{scope}:records", id, "damaged"});
  EXPECT_THAT(*store->List(), ElementsAre(MakeRecord(1)));
  EXPECT_THAT(damaged, ElementsAre(AllOf(HasSubstr(redis.Url()), HasSubstr("midlayer:{scope}:records " + id))));
  EXPECT_EQ(store->Get(id).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store->Promote(id, std::nullopt).status().code(), absl::StatusCode::kDataLoss);
  Raw(redis, {"SET", "midlayer:{scope}:promoted", "damaged"});
  EXPECT_EQ(store->Promoted().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*store->Promote(MakeRecord(1).id, std::nullopt), "");
  // A key of another kind.
  Raw(redis, {"DEL", "midlayer:{scope}:promoted"});
  Raw(redis, {"LPUSH", "midlayer:{scope}:promoted", "x"});
  ExpectUnavailable(store->Promoted().status(), "WRONGTYPE");
}

TEST(RedisStoreTest, ForgottenScriptsAreSentAgain) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis;
  const auto store = Open(redis.Url(), Patient());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(store->Put(MakeRecord(i), "").ok());
    ASSERT_TRUE(store->Promote(MakeRecord(i).id, std::nullopt).ok());
    Raw(redis, {"SCRIPT", "FLUSH"});
  }
}

TEST(RedisStoreTest, AnswersThatDoNotCome) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  RedisServer redis;
  StoreOptions options = Patient();
  const auto warm = Open(redis.Url(), options);
  ASSERT_TRUE(warm->Put(MakeRecord(1), "").ok());
  options.command_timeout = absl::Milliseconds(50);
  const auto store = Open(redis.Url(), options);
  ASSERT_TRUE(Eventually([&] { return store->Promoted().ok(); }));
  redis.Freeze();
  ExpectUnavailable(store->Promoted().status(), absl::StrCat(redis.Url(), "/0: no answer in time"));
  // A new connection is accepted by the kernel, and then nobody answers.
  ExpectUnavailable(store->Promoted().status(), absl::StrCat(redis.Url(), "/0: no answer in time"));
  redis.Continue();
  EXPECT_TRUE(Eventually([&] { return store->Get(MakeRecord(1).id).ok(); }));
}

TEST(RedisStoreTest, TheFirstCallAfterARestartSucceeds) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  RedisServer redis;
  const auto store = Open(redis.Url(), Patient());
  for (int i = 0; i < 3; ++i) {
    const SelectionRecord record = MakeRecord(i);
    ASSERT_TRUE(store->Put(record, "").ok());
    redis.Restart();
    ASSERT_TRUE(redis.Ready());
    const absl::Status status = store->Promote(record.id, std::nullopt).status();
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(RedisStoreTest, WaitEndsWhenTheConnectionIsLostAndWhenItIsBack) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  RedisServer redis;
  const auto store = Open(redis.Url(), Patient());
  store->WaitForChange(absl::Hours(1));  // subscribed
  std::thread killing([&] { redis.Kill(); });
  store->WaitForChange(absl::Hours(1));  // lost
  killing.join();
  EXPECT_FALSE(store->Promoted().ok());
  // From this thread: the server dies with the thread that started it.
  std::thread waiting([&] { store->WaitForChange(absl::Hours(1)); });  // back
  redis.Restart();
  waiting.join();
  EXPECT_TRUE(Eventually([&] { return store->Promoted().ok(); }));
}

// The right to publish and subscribe may be missing: polling is left.
TEST(RedisStoreTest, PollsWhereItMayNotSubscribe) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis({"--user", "limited", "on", ">hunter2", "~midlayer:{scope}:*", "&none", "+@all"});
  ASSERT_TRUE(redis.Ready());
  const std::string url = absl::StrCat("redis://limited:hunter2@127.0.0.1:", redis.port());
  const auto store = Open(url, Patient()), writer = Open(url, Patient());
  PromotedSelection promoted(
      store.get(),
      {.poll_interval = absl::Milliseconds(5), .fingerprint_of_layer = FingerprintOf, .on_change = nullptr});
  ASSERT_TRUE(writer->Put(MakeRecord(1), "").ok());
  ASSERT_TRUE(writer->Put(MakeRecord(2), "").ok());
  ASSERT_TRUE(writer->Promote(MakeRecord(1).id, std::nullopt).ok());
  ASSERT_TRUE(writer->Delete(MakeRecord(2).id).ok());
  EXPECT_TRUE(Eventually([&] { return promoted.Current()->record == MakeRecord(1); }));
}

// The rights that redis_store.h names are enough.
TEST(RedisStoreTest, RightsOfAUser) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis({"--user", "limited", "on", ">hunter2", "~midlayer:{scope}:*", "&midlayer:{scope}:changed",
                           "+@read", "+@write", "+@scripting", "+@pubsub", "+select"});
  ASSERT_TRUE(redis.Ready());
  const auto store = Open(absl::StrCat("redis://limited:hunter2@127.0.0.1:", redis.port()), Patient());
  store->WaitForChange(absl::Hours(1));  // subscribed
  ASSERT_TRUE(store->Put(MakeRecord(1), "").ok());
  ASSERT_TRUE(store->Put(MakeRecord(2), "").ok());
  EXPECT_TRUE(store->Promote(MakeRecord(1).id, "").ok());
  EXPECT_TRUE(store->Delete(MakeRecord(2).id).ok());
  EXPECT_EQ(store->List()->size(), 1u);
  store->WaitForChange(absl::Hours(1));  // told
}

TEST(RedisStoreTest, Passwords) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis({"--requirepass", "hunter2/@"});
  ASSERT_TRUE(redis.Ready());
  const std::string host = absl::StrCat("127.0.0.1:", redis.port());
  const TempDir dir;
  const std::string right = dir.Write("right", "hunter2/@\n").string(), wrong = dir.Write("wrong", "hunter3").string();
  for (const std::string& url : {"redis://:hunter2%2F%40@" + host, "redis://default:hunter2%2F%40@" + host,
                                 "redis://" + host + "?password_file=" + right}) {
    const absl::Status status = Open(url, Patient())->Promoted().status();
    EXPECT_TRUE(status.ok()) << url << ": " << status;
  }
  for (const std::string& url : {"redis://:hunter3@" + host, "redis://nobody:hunter3@" + host, "redis://" + host,
                                 "redis://" + host + "?password_file=" + wrong}) {
    const absl::Status status = Open(url, Patient())->Promoted().status();
    ExpectUnavailable(status, "redis://" + host);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter")));
  }
  // Replaced while the server runs.
  const auto store = Open("redis://" + host + "?password_file=" + wrong, Patient());
  EXPECT_FALSE(store->Promoted().ok());
  dir.Write("wrong", "hunter2/@");
  EXPECT_TRUE(Eventually([&] { return store->Promoted().ok(); }));
  for (const std::string& file : {(dir.path() / "none").string(), dir.Write("empty", "\n").string()}) {
    const absl::Status status = OpenStore("redis://" + host + "?password_file=" + file, "scope").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("password_file: " + file));
  }
}

// A Redis that does not know AUTH repeats the arguments of the command.
TEST(RedisStoreTest, PasswordThatRedisRepeatsIsHidden) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  const RedisServer redis({"--rename-command", "AUTH", "LOGIN"});
  ASSERT_TRUE(redis.Ready());
  const absl::Status status =
      Open(absl::StrCat("redis://:hunter2@127.0.0.1:", redis.port()), Patient())->Promoted().status();
  ExpectUnavailable(status, "unknown command");
  EXPECT_THAT(std::string(status.message()), AllOf(Not(HasSubstr("hunter2")), HasSubstr("***")));
}

// Servers that promote by compare-and-set and follow what is promoted, while Redis is killed again and again.
class Restarts : public testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;
  static constexpr absl::Duration kPoll = absl::Milliseconds(50), kTimeout = absl::Seconds(1);

  struct Acknowledged {
    double version;
    Clock::time_point at;
  };

  // One attempt to promote the next version.
  void Advance(SelectionStore* store, const std::string& author) {
    const auto current = store->Promoted();
    if (!current.ok()) return std::this_thread::yield();
    double version = 0;
    if (!current->empty()) {
      const auto record = store->Get(*current);
      if (absl::IsUnavailable(record.status())) return;
      ASSERT_TRUE(record.ok()) << record.status() << ": lost what was promoted";
      version = record->value;
    }
    const SelectionRecord next = MakeRecord(static_cast<int>(version) + 1, author);
    if (!store->Put(next, "").ok()) return;
    {
      std::lock_guard lock(mutex_);
      put_.insert(next.id);
    }
    const absl::Status status = store->Promote(next.id, *current).status();
    if (!status.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsFailedPrecondition(status)) << status;
      return;
    }
    std::lock_guard lock(mutex_);
    promoted_.push_back({next.value, Clock::now()});
  }

  // That `replica` is no older than the bound allows, or says that it cannot tell.
  void Look(const PromotedSelection& replica) {
    const auto before = Clock::now() - absl::ToChronoMicroseconds(kPoll + kTimeout);
    double oldest = 0;
    {
      std::lock_guard lock(mutex_);
      for (auto it = promoted_.rbegin(); it != promoted_.rend() && oldest == 0; ++it) {
        if (it->at < before) oldest = it->version;
      }
    }
    const auto current = replica.Current();
    if (!current->store_up || oldest == 0) return;
    EXPECT_GE(current->record.value, oldest);
    ++looks_;
  }

  // Lets the servers work for a while that is longer than a third of the bound.
  void Work() {
    const size_t goal = Promotions() + 30;
    const auto end = Clock::now() + absl::ToChronoMicroseconds((kPoll + kTimeout) / 3);
    EXPECT_TRUE(Eventually([&] { return Promotions() >= goal && Clock::now() >= end; }));
  }

  size_t Promotions() {
    std::lock_guard lock(mutex_);
    return promoted_.size();
  }

  int looks_ = 0;  // of the thread that looks

  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<Acknowledged> promoted_;
  std::set<std::string> put_;
};

TEST_F(Restarts, NothingAcknowledgedIsLost) {
  MIDLAYER_SKIP_WITHOUT_REDIS();
  RedisServer redis;
  ASSERT_TRUE(redis.Ready());
  StoreOptions options;
  options.connect_timeout = options.command_timeout = kTimeout;
  const std::unique_ptr<SelectionStore> stores[] = {Open(redis.Url(), options), Open(redis.Url(), options)};
  std::vector<std::unique_ptr<PromotedSelection>> replicas;
  for (const auto& store : stores) {
    replicas.push_back(std::make_unique<PromotedSelection>(
        store.get(), PromotedSelection::Options{
                         .poll_interval = kPoll, .fingerprint_of_layer = FingerprintOf, .on_change = nullptr}));
  }
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      while (!done) Advance(stores[t % 2].get(), absl::StrCat("thread ", t));
    });
  }
  threads.emplace_back([&] {
    while (!done) {
      for (const auto& replica : replicas) Look(*replica);
      std::this_thread::yield();
    }
  });
  for (int kill = 0; kill < 6; ++kill) {
    Work();
    redis.Kill();
    EXPECT_TRUE(Eventually([&] { return !replicas[0]->Current()->store_up && !replicas[1]->Current()->store_up; }));
    redis.Restart();
    ASSERT_TRUE(redis.Ready());
  }
  Work();
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(looks_, 100) << "the bound was not looked at";

  // A promotion that was acknowledged and then lost would have let another reach the same version.
  std::set<double> versions;
  for (const Acknowledged& promotion : promoted_) {
    EXPECT_TRUE(versions.insert(promotion.version).second) << "version " << promotion.version << " was promoted twice";
  }
  const auto last = stores[0]->Get(*stores[0]->Promoted());
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_GE(last->value, *versions.rbegin());
  for (const std::string& id : put_) EXPECT_TRUE(stores[1]->Get(id).ok()) << id << " was acknowledged, and is lost";
  for (const auto& replica : replicas) {
    EXPECT_TRUE(Eventually([&] { return replica->Current()->record == *last && replica->Current()->store_up; }));
  }
}

}  // namespace
}  // namespace midlayer
