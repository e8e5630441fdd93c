#include "server/scoring/curvature.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>

namespace midlayer {
namespace {

// x_t . x_{t+k} for t = 0…T-k-1.
at::Tensor ProductsAhead(const at::Tensor& x_TD, int64_t k) {
  const int64_t count = x_TD.size(0) - k;
  return at::sum(x_TD.narrow(0, 0, count) * x_TD.narrow(0, k, count), 1);
}

}  // namespace

double TurningAngle(const at::Tensor& x_TD, bool folded) {
  const int64_t steps = x_TD.size(0) - 1, turns = steps - 1;
  const at::Tensor steps_SD = at::sub(x_TD.narrow(0, 1, steps), x_TD.narrow(0, 0, steps));
  const at::Tensor norms_S = at::linalg_vector_norm(steps_SD, 2, 1);
  const at::Tensor products = ProductsAhead(steps_SD, 1);
  const double* norms = norms_S.const_data_ptr<double>();
  const double* product = products.const_data_ptr<double>();
  double sum = 0;
  for (int64_t t = 0; t < turns; ++t) {
    if (norms[t] == 0 || norms[t + 1] == 0) continue;
    const double cosine = product[t] / norms[t] / norms[t + 1];
    sum += std::acos(std::clamp(folded ? std::fabs(cosine) : cosine, -1.0, 1.0));
  }
  return sum / static_cast<double>(turns);
}

double NeighbourAngle(const at::Tensor& z_TD, int64_t k) {
  const at::Tensor cosines = ProductsAhead(z_TD, k);
  const double* cosine = cosines.const_data_ptr<double>();
  double sum = 0;
  for (int64_t t = 0; t < cosines.numel(); ++t) sum += std::acos(std::clamp(cosine[t], -1.0, 1.0));
  return sum / static_cast<double>(cosines.numel());
}

}  // namespace midlayer
