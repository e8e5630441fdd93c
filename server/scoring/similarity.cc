#include "server/scoring/similarity.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/sum.h>

#include "server/base/status.h"
#include "server/scoring/vectors.h"

namespace midlayer {

absl::StatusOr<std::vector<double>> PairCosines(const at::Tensor& first_ND, const at::Tensor& second_ND) {
  MIDLAYER_RETURN_IF_ERROR(CheckPairs(first_ND, second_ND));
  return ToVector(at::clamp(at::sum(UnitRows(first_ND) * UnitRows(second_ND), 1), -1, 1));
}

}  // namespace midlayer
