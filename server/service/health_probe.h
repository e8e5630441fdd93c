// Whether the server can still compute: a real text through the model where nothing else went through it.
#ifndef MIDLAYER_SERVER_SERVICE_HEALTH_PROBE_H_
#define MIDLAYER_SERVER_SERVICE_HEALTH_PROBE_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/engine/engine.h"

namespace midlayer {

// On a thread of its own. Where no batch was computed for an interval, sends a text of one word through the engine, up
// to layer 1: a device that was lost or hangs is found without a caller, and its return too. Thread-safe.
class HealthProbe {
 public:
  struct Options {
    absl::Duration interval = absl::Seconds(10);
    absl::Duration timeout = absl::Seconds(60);  // of the text, longer than the longest batch takes
    int layer = 1;
  };
  // Told when it changes, first when it is not OK; on the probe's thread.
  using Report = std::function<void(const absl::Status& health)>;

  // `engine` must outlive the probe.
  HealthProbe(Engine* engine, const Options& options, Report report);
  ~HealthProbe();

 private:
  void Loop();
  absl::Status Probe();
  // Whether `time` passed without the end.
  bool Wait(absl::Duration time);

  Engine* const engine_;
  const Options options_;
  const Report report_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_HEALTH_PROBE_H_
