#include "server/statistics/ties.h"

#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/statistics/bootstrap.h"
#include "server/statistics/paired.h"

namespace midlayer {
namespace {

absl::Status CheckSizes(const LayerMeasurements& measurements) {
  const size_t layers = measurements.values_L.size(), errors = measurements.standard_errors_L.size();
  if (errors != 0 && errors != layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("standard_errors_L: expected one for each of ", layers, " layers, found ", errors));
  }
  const auto check = [layers](const char* name, size_t values) {
    if (values == 0 || (layers != 0 && values % layers == 0)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected as many values for each of ", layers, " layers, found ", values));
  };
  MIDLAYER_RETURN_IF_ERROR(check("examples_LN", measurements.examples_LN.size()));
  return check("replicates_LR", measurements.replicates_LR.size());
}

// Of the rows a and b of a matrix with `layers` rows, what is NaN in either left out.
std::vector<double> Differences(absl::Span<const double> rows, size_t layers, size_t a, size_t b) {
  const size_t n = rows.size() / layers;
  return PairedDifferences(rows.subspan(a * n, n), rows.subspan(b * n, n));
}

double StandardErrorOfDifference(const LayerMeasurements& measurements, size_t a, size_t b) {
  const size_t layers = measurements.values_L.size();
  const std::vector<double> differences = Differences(measurements.examples_LN, layers, a, b);
  if (differences.size() > 1) return MeanWithStandardError(differences).standard_error;
  const std::vector<double> replicates = Differences(measurements.replicates_LR, layers, a, b);
  if (replicates.size() > 1) return BootstrapStandardError(replicates);
  if (measurements.standard_errors_L.empty()) return std::numeric_limits<double>::quiet_NaN();
  return std::hypot(measurements.standard_errors_L[a], measurements.standard_errors_L[b]);
}

}  // namespace

absl::StatusOr<LayerTies> LayersTiedWithBest(const LayerMeasurements& measurements) {
  MIDLAYER_RETURN_IF_ERROR(CheckSizes(measurements));
  const absl::Span<const double> values = measurements.values_L;
  LayerTies ties;
  ties.tied_L.resize(values.size(), false);
  ties.best = BestIndex(values, measurements.direction);
  if (ties.best < 0) return ties;
  const size_t best = static_cast<size_t>(ties.best);
  for (size_t l = 0; l < values.size(); ++l) {
    // Where a number is missing, the comparison is with NaN and false.
    ties.tied_L[l] = values[l] == values[best] ||
                     std::fabs(values[l] - values[best]) <= 2 * StandardErrorOfDifference(measurements, best, l);
    if (ties.tied_L[l] && ties.shallowest < 0) ties.shallowest = static_cast<int>(l);
  }
  return ties;
}

}  // namespace midlayer
