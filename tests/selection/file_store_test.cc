#include "server/selection/file_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/selection/durable_directory.h"
#include "tests/selection/records.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class FileStoreTest : public testing::Test {
 protected:
  FileStoreTest() { store_ = Open(); }

  std::unique_ptr<SelectionStore> Open() {
    StoreOptions options;
    options.lock_timeout = absl::Seconds(20);
    options.on_damaged = [this](std::string_view what) { damaged_.emplace_back(what); };
    auto store = OpenStore("file:" + dir_.path().string(), "scope", options);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::string Put(int number) {
    EXPECT_TRUE(store_->Put(MakeRecord(number), "report").ok());
    return MakeRecord(number).id;
  }

  fs::path File(const std::string& name) const { return dir_.path() / "scope" / name; }
  void Write(const std::string& name, std::string_view content) { dir_.Write("scope/" + name, content); }

  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.path() / "scope"))
      names.insert(entry.path().filename().string());
    return names;
  }

  const TempDir dir_;
  std::vector<std::string> damaged_;
  std::unique_ptr<SelectionStore> store_;
};

TEST_F(FileStoreTest, Layout) {
  EXPECT_THAT(Files(), UnorderedElementsAre("lock"));
  const std::string id = Put(1);
  ASSERT_TRUE(store_->Promote(id, std::nullopt).ok());
  EXPECT_THAT(Files(), UnorderedElementsAre("lock", "promoted", id + ".json", id + ".report"));
  EXPECT_EQ(store_->name(), "file:" + (dir_.path() / "scope").string());
}

TEST_F(FileStoreTest, OpeningRemovesWhatWritersLeftBehind) {
  const std::string id = Put(1), other = MakeRecord(2).id;
  Write("promoted.tmp", "half");
  Write(other + ".json.tmp", "half");
  Write(other + ".report", "the record was never written");
  Write("notes.txt", "not ours");
  // Nobody takes them for anything before either.
  EXPECT_THAT(*store_->List(), ElementsAre(MakeRecord(1)));
  EXPECT_EQ(store_->Report(other).status().code(), absl::StatusCode::kNotFound);
  Open();
  EXPECT_THAT(Files(), UnorderedElementsAre("lock", id + ".json", id + ".report", "notes.txt"));
  EXPECT_THAT(damaged_, IsEmpty());
}

TEST_F(FileStoreTest, DamagedRecordsAreNamedAndTheOthersServed) {
  const std::string good = Put(1);
  const std::string json = SelectionToJson(MakeRecord(2));
  const std::pair<std::string, const char*> cases[] = {
      {"", "expected a JSON object, found what is not JSON"},
      {json.substr(0, json.size() - 1), "expected a JSON object"},
      {std::string(json.size(), '\0'), "expected a JSON object"},
      {"{}", "selection: id: expected a text, found nothing"},
      {SelectionToJson(MakeRecord(3)), "selection: id: expected "},
  };
  const std::string id = MakeRecord(2).id;
  for (const auto& [content, expected] : cases) {
    damaged_.clear();
    ASSERT_TRUE(store_->Put(MakeRecord(2), "report").ok());
    Write(id + ".json", content);
    EXPECT_THAT(*store_->List(), ElementsAre(MakeRecord(1)));
    EXPECT_THAT(damaged_, ElementsAre(testing::AllOf(HasSubstr(File(id + ".json").string()), HasSubstr(expected))));
    const absl::Status status = store_->Get(id).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(status.message(), damaged_.at(0));
    EXPECT_EQ(store_->Promote(id, std::nullopt).status().code(), absl::StatusCode::kDataLoss);
    const std::string promoted = *Open()->Promoted();
    EXPECT_EQ(*store_->Promote(good, std::nullopt), promoted);
  }
  // Both ways to repair it.
  ASSERT_TRUE(store_->Put(MakeRecord(2), "again").ok());
  EXPECT_EQ(*store_->Get(id), MakeRecord(2));
  Write(id + ".json", "damaged");
  EXPECT_TRUE(store_->Delete(id).ok());
  EXPECT_EQ(store_->Get(id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileStoreTest, WhatIsNoFileDoesNotStopTheRest) {
  Put(1);
  fs::create_directory(File(MakeRecord(2).id + ".json"));
  ASSERT_EQ(mkfifo(File(MakeRecord(3).id + ".json").c_str(), 0600), 0);
  EXPECT_THAT(*store_->List(), ElementsAre(MakeRecord(1)));
  EXPECT_EQ(damaged_.size(), 2u);
}

TEST_F(FileStoreTest, MissingReport) {
  const std::string id = Put(1);
  fs::remove(File(id + ".report"));
  const absl::Status status = store_->Report(id).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(File(id + ".report").string()));
}

TEST_F(FileStoreTest, DamagedPromoted) {
  const std::string id = Put(1);
  for (const std::string& content : {std::string(), id, id + "\n\n", std::string("x\n"), std::string(65, '\0')}) {
    ASSERT_TRUE(store_->Promote(id, std::nullopt).ok());
    Write("promoted", content);
    const absl::Status status = store_->Promoted().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(File("promoted").string()));
    EXPECT_EQ(store_->Promote(id, id).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(store_->Delete(id).code(), absl::StatusCode::kDataLoss) << "it may be the promoted one";
    EXPECT_EQ(*store_->Promote(id, std::nullopt), "");
    EXPECT_EQ(*store_->Promoted(), id);
  }
}

TEST_F(FileStoreTest, AnotherProcessHoldsTheLock) {
  const std::string id = Put(1);
  const FileDescriptor lock(open(File("lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  StoreOptions options;
  options.lock_timeout = absl::Milliseconds(5);
  const std::string url = "file:" + dir_.path().string();
  const absl::Status refused = OpenStore(url, "scope", options).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("lock: another process held the lock for 5ms"));
  // Who only reads needs no lock.
  EXPECT_EQ(*store_->Get(id), MakeRecord(1));
  EXPECT_EQ(store_->List()->size(), 1u);
  ASSERT_EQ(flock(lock.get(), LOCK_UN), 0);
  const auto store = OpenStore(url, "scope", options);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  EXPECT_EQ((*store)->Put(MakeRecord(2), "").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*store)->Promote(id, std::nullopt).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*store)->Delete(id).code(), absl::StatusCode::kUnavailable);
}

TEST_F(FileStoreTest, DirectoryRemovedAndMadeAnew) {
  Put(1);
  for (int i = 0; i < 3; ++i) store_->WaitForChange(absl::Milliseconds(1));
  fs::remove_all(dir_.path() / "scope");
  EXPECT_EQ(store_->List().status().code(), absl::StatusCode::kUnavailable);
  const absl::Status status = store_->Put(MakeRecord(1), "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr((dir_.path() / "scope").string()));
  store_->WaitForChange(absl::Hours(1));  // ended by the removal
  store_->WaitForChange(absl::Milliseconds(1));
  const std::unique_ptr<SelectionStore> other = Open();
  store_->WaitForChange(absl::Hours(1));  // ended by finding a directory again
  ASSERT_TRUE(other->Put(MakeRecord(1), "").ok());
  store_->WaitForChange(absl::Hours(1));  // ended by the change
  EXPECT_EQ(*store_->Get(MakeRecord(1).id), MakeRecord(1));
}

TEST_F(FileStoreTest, RelativeDirectory) {
  const fs::path before = fs::current_path();
  fs::current_path(dir_.path());
  const auto store = OpenStore("file:here", "scope");
  fs::current_path(before);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->Put(MakeRecord(1), "").ok());
  EXPECT_TRUE(fs::exists(dir_.path() / "here" / "scope" / (MakeRecord(1).id + ".json")));
}

TEST(FileStoreOpenTest, RefusesADirectoryThatCannotBeMade) {
  const TempDir dir;
  const fs::path file = dir.Write("file", "");
  for (const fs::path& path : {file, file / "below", fs::path("/proc/none"), fs::path("/dev/null")}) {
    const absl::Status status = OpenStore("file:" + path.string(), "scope").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << path;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr((path / "scope").string() + ": expected a directory that this process may write to"));
  }
}

TEST(FileStoreOpenTest, RefusesADirectoryThatIsNotWritable) {
  const TempDir dir;
  const std::string url = "file:" + (dir.path() / "store").string();
  ASSERT_TRUE(OpenStore(url, "scope").ok());
  // Root may write anywhere: become nobody for a while.
  const bool root = geteuid() == 0;
  fs::permissions(dir.path(), fs::perms(0755));
  fs::permissions(dir.path() / "store" / "scope", fs::perms(0555));
  ASSERT_EQ(root ? seteuid(65534) : 0, 0);
  const absl::Status status = OpenStore(url, "scope").status();
  ASSERT_EQ(root ? seteuid(0) : 0, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr((dir.path() / "store" / "scope").string()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Permission denied"));
  fs::permissions(dir.path() / "store" / "scope", fs::perms(0755));
}

// A file is the old one or the new one while it is replaced, never a part.
TEST(DurableDirectoryTest, ReadersSeeWholeFiles) {
  const TempDir dir;
  const auto directory = DurableDirectory::Open(dir.path(), absl::Seconds(20));
  ASSERT_TRUE(directory.ok()) << directory.status();
  const auto content = [](int i) {
    return std::string(static_cast<size_t>(i % 7) * 20000 + 1, static_cast<char>('a' + i % 7));
  };
  ASSERT_TRUE(directory->Write("file", content(0)).ok());
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const auto read = directory->Read("file");
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(*read, content((*read)[0] - 'a'));
    }
  });
  for (int i = 0; i < 200; ++i) {
    const auto lock = directory->TakeLock();
    ASSERT_TRUE(lock.ok()) << lock.status();
    ASSERT_TRUE(directory->Write("file", content(i)).ok());
  }
  done = true;
  reader.join();
}

}  // namespace
}  // namespace midlayer
