// What recording one request costs: everything that the server tells Prometheus of an Embed call of one text that is a
// batch of its own, on a model of --layers layers. Prints microseconds a request.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "server/telemetry/telemetry.h"

int main(int argc, char** argv) {
  const int layers = argc > 1 ? std::atoi(argv[1]) : 6;
  constexpr int kRequests = 200'000;
  midlayer::Telemetry telemetry;
  using Stage = midlayer::Telemetry::Stage;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRequests; ++i) {
    const double seconds = 1e-3 * (1 + i % 50);
    for (const Stage stage : {Stage::kTokenize, Stage::kQueue, Stage::kForward, Stage::kPool}) {
      telemetry.StageTook(stage, seconds);
    }
    for (int layer = 0; layer <= layers; ++layer) telemetry.LayerTook(layer, seconds);
    telemetry.QueueIs(1, 18);
    telemetry.BatchRan(1, 18);
    telemetry.QueueIs(0, 0);
    telemetry.RequestEnded("Embed", "OK", seconds);
    telemetry.Embedded(layers, "mean", seconds);
  }
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  std::printf("%.2f us a request\n", took.count() / kRequests);
}
