// How busy the machine's NVIDIA GPUs are, for Prometheus.
#ifndef MIDLAYER_SERVER_TELEMETRY_GPU_METRICS_H_
#define MIDLAYER_SERVER_TELEMETRY_GPU_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace midlayer {

// Asks NVML, which comes with the driver and is loaded at run time, whenever Prometheus asks. A series for each GPU,
// with its number and UUID: midlayer_gpu_utilization_ratio, _memory_used_bytes, _memory_total_bytes,
// _temperature_celsius, _power_watts, and midlayer_gpu_info with its name. What a GPU does not tell is left out.
// Thread-safe.
class GpuMetrics final : public prometheus::Collectable {
 public:
  // FAILED_PRECONDITION says what is missing: the library, a driver, a GPU. `library`: its file, another for tests.
  static absl::StatusOr<std::shared_ptr<GpuMetrics>> Open(const std::string& library = "libnvidia-ml.so.1");
  ~GpuMetrics() override;

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  struct Nvml;
  explicit GpuMetrics(std::unique_ptr<Nvml> nvml);
  const std::unique_ptr<Nvml> nvml_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TELEMETRY_GPU_METRICS_H_
