// How many threads are worth starting, in containers of all kinds.
#include "server/base/processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

class ProcessorsTest : public testing::Test {
 protected:
  ProcessorsTest() {
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    all_ = CPU_COUNT(&set);
  }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = directory_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int Usable() const {
    return UsableProcessors({.self = directory_.path() / "self", .root = directory_.path() / "cgroup"});
  }

  const TempDir directory_;
  int all_ = 0;
};

TEST_F(ProcessorsTest, WithoutAQuotaThoseOfTheAffinity) {
  EXPECT_EQ(Usable(), all_) << "no control groups";
  Write("self", "0::/\n");
  Write("cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(Usable(), all_);
  Write("cgroup/cpu.max", "garbage");
  EXPECT_EQ(Usable(), all_);
  Write("cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(Usable(), all_) << "a quota of a thousand";
  EXPECT_GE(UsableProcessors(), 1);
  EXPECT_LE(UsableProcessors(), all_);
}

TEST_F(ProcessorsTest, AQuotaRoundedUp) {
  Write("self", "0::/\n");
  Write("cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Usable(), 1);
  Write("cgroup/cpu.max", "25000 100000\n");
  EXPECT_EQ(Usable(), 1) << "a quarter of one";
  Write("cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(Usable(), std::min(2, all_));
}

TEST_F(ProcessorsTest, TheSmallestOfTheGroupsAround) {
  Write("self", "1:name=systemd:/x\n0::/system.slice/midlayer.service\n");
  Write("cgroup/system.slice/cpu.max", "100000 100000\n");
  Write("cgroup/system.slice/midlayer.service/cpu.max", "max 100000\n");
  EXPECT_EQ(Usable(), 1);
  Write("cgroup/system.slice/cpu.max", "max 100000\n");
  EXPECT_EQ(Usable(), all_);
  Write("cgroup/system.slice/midlayer.service/cpu.max", "100000 100000\n");
  EXPECT_EQ(Usable(), 1);
}

TEST_F(ProcessorsTest, VersionOne) {
  Write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Usable(), all_);
  Write("cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(Usable(), 1);
}

}  // namespace
}  // namespace midlayer
