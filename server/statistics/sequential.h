// Whether the choice of a layer is settled before all examples were seen. Pure functions, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_SEQUENTIAL_H_
#define MIDLAYER_SERVER_STATISTICS_SEQUENTIAL_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/statistics/ranks.h"

namespace midlayer {

struct SequentialOptions {
  Direction direction = Direction::kMax;
  // How many looks are taken at most, decided before the first one.
  int looks = 1;
  // The probability with which a wrong choice may be called settled, over all looks together.
  double alpha = 0.05;
  // Layers so near to the leader are not compared with it: their vectors are nearly the same, and either will do.
  int neighbours = 1;
  // No look with fewer examples settles anything: the normal approximation does not hold yet.
  size_t least_examples = 30;
};

struct SequentialLook {
  int leader = -1;       // the layer of the best mean, the shallowest of several; -1 if no layer has values
  bool settled = false;  // the leader is better than every layer compared
  double p_value = 1;    // the largest of the comparisons; 0 if no layer is left to compare with
  double threshold = 0;  // of one comparison: alpha / (looks * layers)
};

// One look: examples_LN are the values of all examples seen so far, layer after layer, in the order of `layers` rows.
//
// The rule, a group-sequential test with the same share of alpha at every look: compare the leader a with each layer b
// further away than `neighbours`, by a one-sided test of the paired differences d: p = 1 - Phi(sum d / sqrt(sum d^2)),
// of the hypothesis that b is at least as good as a. Settled if every p is at most alpha / (looks * layers).
//
// Why this keeps alpha: let b(a) be the truly best layer among those compared if a leads. A wrong choice is called
// settled only if, at some look and for some a that is not better than b(a), the test of a against b(a) rejects. Those
// are at most looks * layers tests (the leader is found from the same data, hence the layers), each at that level:
// Bonferroni. The sum is divided by the root of the sum of squares without their mean, which for normal values is a bit
// more cautious than Student's t, and for values of few kinds (an answer is right or wrong), where t is not, close to
// the exact sign test.
//
// Examples that are NaN in one of two layers are left out of their comparison, layers of NaN only out of all.
// INVALID_ARGUMENT if the values are not as many for each layer, or an option is out of range.
absl::StatusOr<SequentialLook> LookAtLeader(absl::Span<const double> examples_LN, int layers,
                                            const SequentialOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_SEQUENTIAL_H_
