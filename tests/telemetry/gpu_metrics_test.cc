// GPU metrics from a library that stands in for NVIDIA's.
#include "server/telemetry/gpu_metrics.h"

#include <prometheus/text_serializer.h>

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Text(const GpuMetrics& metrics) { return prometheus::TextSerializer().Serialize(metrics.Collect()); }

TEST(GpuMetricsTest, EachGpuTellsWhatItKnows) {
  const auto metrics = GpuMetrics::Open(MIDLAYER_FAKE_NVML);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  const std::string text = Text(**metrics);
  for (const char* line : {
           "# TYPE midlayer_gpu_utilization_ratio gauge\n",
           "midlayer_gpu_utilization_ratio{gpu=\"0\",uuid=\"GPU-0\"} 0.37\n",
           "midlayer_gpu_utilization_ratio{gpu=\"1\",uuid=\"GPU-1\"} 0.38\n",
           "midlayer_gpu_memory_used_bytes{gpu=\"1\",uuid=\"GPU-1\"} 1000000001\n",
           "midlayer_gpu_memory_total_bytes{gpu=\"0\",uuid=\"GPU-0\"} 80000000000\n",
           "midlayer_gpu_temperature_celsius{gpu=\"0\",uuid=\"GPU-0\"} 41\n",
           "midlayer_gpu_power_watts{gpu=\"0\",uuid=\"GPU-0\"} 123.456\n",
           "midlayer_gpu_info{gpu=\"1\",uuid=\"GPU-1\",name=\"Stand-in 1\"} 1\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("celsius{gpu=\"1\""))) << "what it does not tell is left out";
  EXPECT_THAT(text, Not(HasSubstr("watts{gpu=\"1\"")));
}

TEST(GpuMetricsTest, WhatIsMissingIsTold) {
  const auto message = [](const std::string& library) {
    const absl::Status status = GpuMetrics::Open(library).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  EXPECT_THAT(message("no-such-library.so"), HasSubstr("NVIDIA's driver, is not there: no-such-library.so"));
  EXPECT_THAT(message("libm.so.6"), HasSubstr("expected the function nvmlInit_v2, found none"));
  setenv("MIDLAYER_FAKE_NVML", "no-driver", 1);
  EXPECT_THAT(message(MIDLAYER_FAKE_NVML), HasSubstr("could not be initialised (code 9)"));
  setenv("MIDLAYER_FAKE_NVML", "no-gpu", 1);
  EXPECT_THAT(message(MIDLAYER_FAKE_NVML), HasSubstr("knows no GPU"));
  unsetenv("MIDLAYER_FAKE_NVML");
}

}  // namespace
}  // namespace midlayer
