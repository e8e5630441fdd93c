#include "server/engine/pooling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/sum.h>

namespace midlayer {

at::Tensor Pool(const at::Tensor& states_TD, int64_t begin, Pooling pooling) {
  const int64_t end = states_TD.size(0);
  const at::Tensor pooled_TD = states_TD.narrow(0, begin, end - begin);
  switch (pooling) {
    case Pooling::kCls:
      return pooled_TD[0];
    case Pooling::kMean:
      return at::mean(pooled_TD, 0);
    case Pooling::kLast:
      return states_TD[end - 1];
    case Pooling::kMax:
      return at::amax(pooled_TD, 0);
    case Pooling::kWeightedMean: {
      const at::Tensor weights_T = at::arange(begin + 1, end + 1, states_TD.options());
      return at::matmul(weights_T / at::sum(weights_T), pooled_TD);
    }
    case Pooling::kTrainedLast:
    case Pooling::kTrainedMulti:
      break;
  }
  return {};
}

}  // namespace midlayer
