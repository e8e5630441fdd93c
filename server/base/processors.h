// How many processors this process may keep busy.
#ifndef MIDLAYER_SERVER_BASE_PROCESSORS_H_
#define MIDLAYER_SERVER_BASE_PROCESSORS_H_

#include <string>

namespace midlayer {

// Where Linux shows control groups; tests have their own.
struct CgroupFiles {
  std::string self = "/proc/self/cgroup";
  std::string root = "/sys/fs/cgroup";
};

// Those that it may run on (its affinity), or fewer where a control group has a quota of processor time (a container's
// CPU limit, systemd's CPUQuota): the quota rounded up, 1 or more. Control groups of version 2, and of version 1 where
// the process sees its own group as the root, as in a container.
int UsableProcessors(const CgroupFiles& files = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_PROCESSORS_H_
