// The entropy of a set of texts.
#ifndef MIDLAYER_SERVER_SCORING_DATASET_ENTROPY_H_
#define MIDLAYER_SERVER_SCORING_DATASET_ENTROPY_H_

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "server/scoring/mode.h"
#include "server/scoring/set_grams.h"

namespace midlayer {

// Each field has its own reason where it is not defined.
struct DatasetEntropy {
  // Of the vectors as they are (Skean et al. 2025, "Layer by Layer", where they are PooledCentered). What all vectors
  // share makes it small.
  absl::StatusOr<double> as_is;
  // Of the vectors less their mean.
  absl::StatusOr<double> centered;
};

// GramEntropy of N >= 2 vectors, one a text.
DatasetEntropy MeasureDatasetEntropy(const at::Tensor& x_ND, const EntropyOptions& options);
DatasetEntropy MeasureDatasetEntropy(const SetGrams& grams, const EntropyOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_DATASET_ENTROPY_H_
