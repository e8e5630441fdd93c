#include "server/statistics/sequential.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/statistics/bootstrap.h"
#include "server/statistics/paired.h"

namespace midlayer {
namespace {

absl::Status Check(size_t values, int layers, const SequentialOptions& options) {
  if (layers < 1 || values % static_cast<size_t>(layers) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("examples_LN: expected as many values for each of ", layers, " layers, found ", values));
  }
  if (options.looks < 1) {
    return absl::InvalidArgumentError(absl::StrCat("looks: expected at least 1, found ", options.looks));
  }
  if (!(options.alpha > 0 && options.alpha < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("alpha: expected a number between 0 and 1, found ", options.alpha));
  }
  if (options.neighbours < 0) {
    return absl::InvalidArgumentError(absl::StrCat("neighbours: expected at least 0, found ", options.neighbours));
  }
  return absl::OkStatus();
}

// The mean over the examples that have a value; NaN if none has.
double Mean(absl::Span<const double> examples) {
  std::vector<double> values(examples.begin(), examples.end());
  std::erase_if(values, [](double value) { return std::isnan(value); });
  return MeanWithStandardError(values).value;
}

// Of the hypothesis that the differences are not positive in the mean. 1 where nothing can be said: too few of them,
// all zero, or one infinite.
double PValue(absl::Span<const double> differences, size_t least) {
  if (differences.size() < least) return 1;
  double sum = 0, squares = 0;
  for (const double difference : differences) {
    sum += difference;
    squares += difference * difference;
  }
  if (squares == 0 || std::isinf(squares)) return 1;
  return 0.5 * std::erfc(sum / std::sqrt(squares) / std::numbers::sqrt2);
}

}  // namespace

absl::StatusOr<SequentialLook> LookAtLeader(absl::Span<const double> examples_LN, int layers,
                                            const SequentialOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(Check(examples_LN.size(), layers, options));
  const size_t n = examples_LN.size() / static_cast<size_t>(layers);
  const auto examples = [examples_LN, n](int layer) { return examples_LN.subspan(static_cast<size_t>(layer) * n, n); };
  std::vector<double> means_L;
  for (int l = 0; l < layers; ++l) means_L.push_back(Mean(examples(l)));

  SequentialLook look = {.leader = BestIndex(means_L, options.direction),
                         .threshold = options.alpha / (static_cast<double>(options.looks) * layers)};
  if (look.leader < 0 || n < options.least_examples) return look;
  look.p_value = 0;
  for (int l = 0; l < layers; ++l) {
    if (std::abs(l - look.leader) <= options.neighbours || std::isnan(means_L[l])) continue;
    const bool higher = options.direction == Direction::kMax;
    const std::vector<double> differences =
        PairedDifferences(examples(higher ? look.leader : l), examples(higher ? l : look.leader));
    look.p_value = std::max(look.p_value, PValue(differences, options.least_examples));
  }
  look.settled = look.p_value <= look.threshold;
  return look;
}

}  // namespace midlayer
