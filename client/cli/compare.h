// The command `midlayer compare`.
#ifndef MIDLAYER_CLIENT_CLI_COMPARE_H_
#define MIDLAYER_CLIENT_CLI_COMPARE_H_

#include <string>
#include <vector>

#include "client/cli/console.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

struct CompareOptions {
  std::vector<std::string> paths;  // two reports in JSON, or one where `layers` are given; "-": standard input
  std::string metric;              // empty: all that both have
  std::vector<int> layers;         // none, or two layers of the one report
  bool json = false;
};

// Compares and prints. Asks no server. Returns an ExitCode.
int RunCompare(const CompareOptions& options, const Console& console);

// Values of two curves that belong together; those that are NaN on either side are left out. As many on both sides.
struct ValuePairs {
  std::vector<double> a;
  std::vector<double> b;
};

// The values of two curves over the layers: paired by layer where both models have as many blocks (`blocks_a`,
// `blocks_b`), else each layer of the model of fewer blocks with the one of the other at the nearest relative depth.
ValuePairs PairByLayer(const v1::MetricCurve& a, int blocks_a, const v1::MetricCurve& b, int blocks_b);

// The values of single examples at a layer of each, paired by the examples' places in the input. Empty where a curve
// has no values of examples there.
ValuePairs PairByExample(const v1::MetricCurve& a, int layer_a, const v1::MetricCurve& b, int layer_b);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_COMPARE_H_
