// What a load came to, and how it is shown.
#ifndef MIDLAYER_CLIENT_CLI_BENCH_RESULT_H_
#define MIDLAYER_CLIENT_CLI_BENCH_RESULT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "client/cli/bench.h"
#include "client/cli/latency_histogram.h"
#include "midlayer/v1/embedding.pb.h"

namespace midlayer::cli {

struct BenchResult {
  // Measured, answered requests by layer as it was asked for ("3", "-1", "selected").
  std::map<std::string, LatencyHistogram> layers;
  uint64_t texts = 0, tokens = 0;  // of their answers
  double seconds = 0;              // from the end of the warm-up to the last answer

  struct Failure {
    LatencyHistogram latencies;
    std::string example;  // the message of one
  };
  std::map<std::string, Failure> failures;  // of measured requests, by the name of the code

  // Of an open loop: requests that began late because as many as may were under way, or no thread was awake; the
  // longest such delay; and those that were not sent at all, as the load was over. Delays are part of the latencies.
  uint64_t late = 0, not_sent = 0;
  double most_late_seconds = 0;

  // Of all layers.
  LatencyHistogram All() const;
  // Adds what another part of the load came to; `seconds` stay.
  void Add(const BenchResult& other);
};

// For people, `width` columns wide.
std::string FormatBench(const BenchOptions& options, const v1::GetModelResponse& model, const BenchResult& result,
                        size_t width);

// One JSON object, indented: what was asked for, totals, and for each layer and all together percentiles and the
// histogram.
std::string BenchToJson(const BenchOptions& options, const v1::GetModelResponse& model, const BenchResult& result);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_BENCH_RESULT_H_
