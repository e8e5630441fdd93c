#include "server/base/processors.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

namespace midlayer {

namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

// "QUOTA PERIOD" in microseconds, or "max PERIOD" for none.
double QuotaV2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : kNone;
}

// -1 for none.
double QuotaV1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu/cpu.cfs_quota_us"), period_file(folder + "/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period : kNone;
}

// The group of this process below the root, of version 2 ("0::/a/b"); empty where there is none, or it is the root.
std::string OwnGroup(const std::string& self) {
  std::ifstream file(self);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/")) return line == "0::/" ? "" : line.substr(3);
  }
  return "";
}

// The smallest of its own quota and those of the groups around it.
double Quota(const CgroupFiles& files) {
  double quota = std::min(QuotaV1(files.root), QuotaV2(files.root));
  for (std::string group = OwnGroup(files.self); !group.empty(); group.erase(group.rfind('/'))) {
    quota = std::min(quota, QuotaV2(files.root + group));
  }
  return quota;
}

int Affinity() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : std::numeric_limits<int>::max();
}

}  // namespace

int UsableProcessors(const CgroupFiles& files) {
  const double quota = std::ceil(Quota(files));
  const int affinity = Affinity();
  return quota < affinity ? std::max(1, static_cast<int>(quota)) : affinity;
}

}  // namespace midlayer
