#include "server/telemetry/process_metrics.h"

#include <prometheus/metric_family.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

std::map<std::string, double> Values() {
  std::map<std::string, double> values;
  for (const prometheus::MetricFamily& family : ProcessMetrics().Collect()) {
    const prometheus::ClientMetric& metric = family.metric.at(0);
    values[family.name] = family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
  }
  return values;
}

TEST(ProcessMetricsTest, TellsOfThisProcess) {
  const std::map<std::string, double> before = Values();
  ASSERT_EQ(before.size(), 7u);
  EXPECT_GT(before.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_LT(before.at("process_resident_memory_bytes"), before.at("process_virtual_memory_bytes"));
  EXPECT_GE(before.at("process_threads"), 1);
  EXPECT_GT(before.at("process_max_fds"), before.at("process_open_fds"));
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(before.at("process_start_time_seconds"), now, 3600) << "this test has just begun";

  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  volatile double work = 0;
  while (Values().at("process_cpu_seconds_total") < before.at("process_cpu_seconds_total") + 0.02) work = work + 1;
  EXPECT_EQ(Values().at("process_open_fds"), before.at("process_open_fds") + 2);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace midlayer
