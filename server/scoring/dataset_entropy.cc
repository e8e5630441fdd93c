#include "server/scoring/dataset_entropy.h"

#include "server/base/status.h"
#include "server/scoring/entropy.h"

namespace midlayer {
namespace {

absl::StatusOr<double> CenteredEntropy(const SetGrams& grams, const EntropyOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(grams.centered.status());
  return GramEntropy(*grams.centered, grams.vectors, grams.dimensions, options);
}

}  // namespace

DatasetEntropy MeasureDatasetEntropy(const SetGrams& grams, const EntropyOptions& options) {
  return {.as_is = GramEntropy(grams.as_is, grams.vectors, grams.dimensions, options),
          .centered = CenteredEntropy(grams, options)};
}

DatasetEntropy MeasureDatasetEntropy(const at::Tensor& x_ND, const EntropyOptions& options) {
  const absl::StatusOr<GroupedVectors> x = GroupedVectors::Of(x_ND, 1);
  if (!x.ok()) return {.as_is = x.status(), .centered = x.status()};
  return MeasureDatasetEntropy(x->All(), options);
}

}  // namespace midlayer
