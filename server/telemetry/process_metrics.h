// What Prometheus' client libraries tell of the process itself, under their names.
#ifndef MIDLAYER_SERVER_TELEMETRY_PROCESS_METRICS_H_
#define MIDLAYER_SERVER_TELEMETRY_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace midlayer {

// process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds,
// process_max_fds, process_threads and process_start_time_seconds, from /proc whenever Prometheus asks. What /proc does
// not tell is left out. Thread-safe.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TELEMETRY_PROCESS_METRICS_H_
