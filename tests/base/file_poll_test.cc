#include "server/base/file_poll.h"

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>

#include "gtest/gtest.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

// Counts what it is told, and waits for it.
class Told {
 public:
  void operator()() {
    std::lock_guard lock(mutex_);
    ++times_;
    changed_.notify_all();
  }
  bool Reaches(int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return times_ >= times; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int times_ = 0;
};

TEST(FilePollTest, TellsOfContentReplacementAndReturn) {
  const TempDir directory;
  const std::filesystem::path file = directory.Write("file", "one");
  Told told;
  const FilePoll poll(file, absl::Milliseconds(1), [&told] { told(); });
  directory.Write("file", "longer");
  EXPECT_TRUE(told.Reaches(1)) << "written to";
  std::filesystem::rename(directory.Write("other", "longer"), file);
  EXPECT_TRUE(told.Reaches(2)) << "another file in its place";
  std::filesystem::remove(file);
  directory.Write("file", "back");
  EXPECT_TRUE(told.Reaches(3)) << "there again";
}

// As Kubernetes exchanges secrets: the directory behind a link is another one.
TEST(FilePollTest, FollowsLinks) {
  const TempDir directory;
  for (const char* version : {"v1", "v2"}) {
    std::filesystem::create_directory(directory.path() / version);
    directory.Write(std::string(version) + "/token", "same");
  }
  const std::filesystem::path link = directory.path() / "current";
  std::filesystem::create_directory_symlink("v1", link);
  Told told;
  const FilePoll poll(link / "token", absl::Milliseconds(1), [&told] { told(); });
  std::filesystem::create_directory_symlink("v2", directory.path() / "next");
  std::filesystem::rename(directory.path() / "next", link);
  EXPECT_TRUE(told.Reaches(1));
}

TEST(FilePollTest, EndsAtOnceAndWithoutAFile) {
  const FilePoll poll("/nonexistent/file", absl::Hours(1), [] { FAIL(); });
}

}  // namespace
}  // namespace midlayer
