#include "server/telemetry/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

namespace midlayer {

namespace {

// Of /proc/self/stat, behind the name in brackets; see proc(5), where state is field 3.
struct Stat {
  double cpu_ticks = 0, threads = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
};

std::optional<Stat> ReadStat() {
  std::ifstream file("/proc/self/stat");
  const std::string line((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::vector<double> values(2);  // values[N - 1] is field N
  std::string state;
  fields >> state;
  values.push_back(0);
  for (double value = 0; fields >> value;) values.push_back(value);
  constexpr size_t kUserTicks = 13, kSystemTicks = 14, kThreads = 19, kStart = 21, kVirtual = 22, kResident = 23;
  if (values.size() <= kResident) return std::nullopt;
  return Stat{.cpu_ticks = values[kUserTicks] + values[kSystemTicks],
              .threads = values[kThreads],
              .start_ticks = values[kStart],
              .virtual_bytes = values[kVirtual],
              .resident_pages = values[kResident]};
}

// When the machine was started, in seconds since 1970.
std::optional<double> BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return std::nullopt;
}

double OpenFiles() {
  std::error_code ignored;
  double count = -1;  // the directory that is being read is one of them
  for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", ignored);
       entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    ++count;
  }
  return count;
}

prometheus::MetricFamily Family(const char* name, const char* help, double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  return {.name = name, .help = help, .type = prometheus::MetricType::Gauge, .metric = {metric}};
}

prometheus::MetricFamily Counter(const char* name, const char* help, double value) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  return {.name = name, .help = help, .type = prometheus::MetricType::Counter, .metric = {metric}};
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (const std::optional<Stat> stat = ReadStat()) {
    families.push_back(
        Counter("process_cpu_seconds_total", "Processor time, user and system.", stat->cpu_ticks / ticks));
    families.push_back(Family("process_resident_memory_bytes", "Resident memory.",
                              stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
    families.push_back(Family("process_virtual_memory_bytes", "Virtual memory.", stat->virtual_bytes));
    families.push_back(Family("process_threads", "Threads.", stat->threads));
    if (const std::optional<double> boot = BootTime()) {
      families.push_back(Family("process_start_time_seconds", "When the process was started, in seconds since 1970.",
                                *boot + stat->start_ticks / ticks));
    }
  }
  if (const double open = OpenFiles(); open >= 0) {
    families.push_back(Family("process_open_fds", "Open file descriptors.", open));
  }
  if (rlimit limit{}; getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(Family("process_max_fds", "Most open file descriptors.", static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace midlayer
