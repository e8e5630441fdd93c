// The minimiser on functions whose minima are known.
#include "server/scoring/lbfgs.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

namespace midlayer {
namespace {

at::Tensor Point(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

TEST(LbfgsTest, FindsTheMinimumOfAnIllConditionedBowl) {
  const at::Tensor curvature = Point({1e-3, 1, 50, 1e4}), minimum = Point({3, -2, 0.5, 1});
  const auto bowl = [&](const at::Tensor& x) {
    const at::Tensor slope = curvature * (x - minimum);
    return Slope{.value = (slope * (x - minimum)).sum().item<double>() / 2, .gradient = slope};
  };
  const LbfgsResult result = Minimize(bowl, at::zeros({4}, at::kDouble), {.tolerance = 1e-10}).value();
  EXPECT_TRUE(result.converged);
  EXPECT_LT(result.iterations, 100);
  EXPECT_NEAR(result.value, 0, 1e-9);
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(result.point[i].item<double>(), minimum[i].item<double>(), 2e-3) << i;
}

TEST(LbfgsTest, FollowsTheValleyOfRosenbrock) {
  const auto rosenbrock = [](const at::Tensor& point) {
    const double x = point[0].item<double>(), y = point[1].item<double>();
    return Slope{.value = (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x),
                 .gradient = Point({-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)})};
  };
  const LbfgsResult result = Minimize(rosenbrock, Point({-1.2, 1}), {.tolerance = 1e-12}).value();
  EXPECT_TRUE(result.converged);
  EXPECT_LT(result.iterations, 100);
  EXPECT_NEAR(result.point[0].item<double>(), 1, 1e-8);
  EXPECT_NEAR(result.point[1].item<double>(), 1, 1e-8);
}

TEST(LbfgsTest, EndsAtOnceAtTheMinimum) {
  const auto flat = [](const at::Tensor& x) { return Slope{.value = 7, .gradient = at::zeros_like(x)}; };
  const LbfgsResult result = Minimize(flat, Point({4})).value();
  EXPECT_TRUE(result.converged);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.value, 7);
}

TEST(LbfgsTest, SaysSoWhereTheIterationsDoNotSuffice) {
  const auto quartic = [](const at::Tensor& x) {
    return Slope{.value = x.pow(4).sum().item<double>(), .gradient = 4 * x.pow(3)};
  };
  const LbfgsResult result = Minimize(quartic, Point({5, 3}), {.max_iterations = 2}).value();
  EXPECT_FALSE(result.converged);
  EXPECT_EQ(result.iterations, 2);
  EXPECT_LT(result.value, 625 + 81);
}

}  // namespace
}  // namespace midlayer
