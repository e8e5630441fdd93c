// The command `midlayer bench`.
#ifndef MIDLAYER_CLIENT_CLI_BENCH_H_
#define MIDLAYER_CLIENT_CLI_BENCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/arrivals.h"
#include "client/cli/connection.h"
#include "client/cli/console.h"
#include "client/cli/request_options.h"

namespace midlayer::cli {

struct BenchOptions {
  ConnectionOptions connection;
  int connections = 1;

  // The load.
  int concurrency = 8;  // requests under way, at most
  double rate = 0;      // requests a second (open loop); 0: each follows the one before it (closed loop)
  Arrivals::Spacing spacing = Arrivals::Spacing::kPoisson;
  double duration_seconds = 10;  // that is measured
  double warmup_seconds = 1;     // before it
  int64_t requests = 0;          // that are measured at most; 0: no bound
  uint64_t seed = 0;

  // The requests.
  TextOptions text;
  OutputOptions output;                        // without its layer
  std::vector<std::optional<int32_t>> layers;  // each request takes one of them by chance; unset: the selected one
  int texts = 1;                               // of a request
  int words = 16;                              // of a text that is made up
  std::string input;                           // a file whose lines are the texts instead; "-": standard input

  bool json = false;
};

// Sends the load, and writes to console.out what came of it. Returns an ExitCode: kExitFailed where a request failed.
int RunBench(const BenchOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_BENCH_H_
