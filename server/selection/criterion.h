// How a layer is chosen, as the user writes it.
#ifndef MIDLAYER_SERVER_SELECTION_CRITERION_H_
#define MIDLAYER_SERVER_SELECTION_CRITERION_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/selection/metric.h"

namespace midlayer {

// One metric (weight 1), a weighted rank of several, or none: "auto" or "valley".
struct Criterion {
  struct Term {
    const Metric* metric = nullptr;
    Direction direction = Direction::kMin;
    double weight = 1;
  };
  std::string text;  // in one spelling: every direction and weight written out
  std::vector<Term> terms;
};

// "auto" (also empty), "valley", "METRIC", "METRIC:min", "METRIC:max", or several with commas, each with "=WEIGHT"
// (above 0, default 1). INVALID_ARGUMENT names what is unknown and what is known.
absl::StatusOr<Criterion> ParseCriterion(std::string_view text);

// The direction that the criterion gives a metric, else its own.
Direction DirectionOf(const Metric& metric, const Criterion& criterion);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_CRITERION_H_
