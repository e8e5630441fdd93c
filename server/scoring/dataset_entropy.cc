#include "server/scoring/dataset_entropy.h"

#include "server/base/status.h"
#include "server/scoring/center.h"
#include "server/scoring/entropy.h"
#include "server/scoring/spectrum.h"

namespace midlayer {
namespace {

absl::StatusOr<double> CenteredEntropy(const at::Tensor& x_ND, const EntropyOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const CenteredRows centered, Center(x_ND));
  return GramEntropy(SmallerGram(centered.rows_KD), x_ND.size(0), x_ND.size(1), options);
}

}  // namespace

DatasetEntropy MeasureDatasetEntropy(const at::Tensor& x_ND, const EntropyOptions& options) {
  const absl::StatusOr<at::Tensor> x = ToMatrix(x_ND, "vectors");
  if (!x.ok()) return {.as_is = x.status(), .centered = x.status()};
  if (x->size(0) < 2) {
    const absl::Status few = absl::FailedPreconditionError("fewer than 2 vectors");
    return {.as_is = few, .centered = few};
  }
  return {.as_is = GramEntropy(SmallerGram(*x), x->size(0), x->size(1), options),
          .centered = CenteredEntropy(*x, options)};
}

}  // namespace midlayer
