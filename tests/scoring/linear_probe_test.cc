// Logistic regression against scikit-learn, what must not change it, and what it refuses.
#include "server/scoring/linear_probe.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/scoring/labelled_fixtures.h"

namespace midlayer {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

ProbeOptions OptionsOf(const nlohmann::json& fixture) {
  return {.c = fixture["c"], .standardize = fixture["standardize"].get<bool>()};
}

TEST(LinearProbeTest, ProbabilitiesAreThoseOfScikitLearn) {
  for (const auto& fixture : LabelledFixtures("probe")) {
    SCOPED_TRACE(fixture["name"].get<std::string>());
    const auto probe = FitLinearProbe(MatrixOf(fixture["x"]), Labels(fixture["labels"]), OptionsOf(fixture));
    ASSERT_TRUE(probe.ok()) << probe.status();
    EXPECT_TRUE(probe->converged) << probe->iterations;
    const at::Tensor got = Probabilities(*probe, MatrixOf(fixture["test"])).value();
    const at::Tensor expected = MatrixOf(fixture["probabilities"]);
    ASSERT_EQ(got.sizes(), expected.sizes());
    EXPECT_LT((got - expected).abs().max().item<double>(), 1e-6) << got << expected;
  }
}

TEST(LinearProbeTest, CrossValidationIsThatOfScikitLearn) {
  for (const auto& fixture : LabelledFixtures("probe")) {
    SCOPED_TRACE(fixture["name"].get<std::string>());
    const auto result = CrossValidate(MatrixOf(fixture["x"]), Labels(fixture["labels"]),
                                      fixture["fold_of"].get<std::vector<int>>(), OptionsOf(fixture));
    ASSERT_TRUE(result.ok()) << result.status();
    const auto expected = fixture["correct"].get<std::vector<double>>();
    EXPECT_EQ(result->correct, expected);
    double sum = 0;
    for (const double correct : expected) sum += correct;
    EXPECT_DOUBLE_EQ(result->accuracy, sum / static_cast<double>(expected.size()));
    EXPECT_TRUE(result->converged);
  }
}

// Every example twice at half the strength is the same problem twice.
TEST(LinearProbeTest, ThePenaltyCountsAgainstTheSumOverTheExamples) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({6, 9}, at::kDouble);
  const std::vector<int64_t> labels = {0, 1, 2, 0, 1, 2}, twice = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
  const LinearProbe one = FitLinearProbe(x, labels, {.c = 0.8}).value();
  const LinearProbe two = FitLinearProbe(at::cat({x, x}), twice, {.c = 0.4}).value();
  EXPECT_TRUE(at::allclose(one.weights_RD, two.weights_RD, 0, 1e-6));
  EXPECT_TRUE(at::allclose(one.intercepts_R, two.intercepts_R, 0, 1e-6));
  EXPECT_NEAR(2 * one.objective, two.objective, 1e-9);
  EXPECT_NEAR(one.intercepts_R.sum().item<double>(), 0, 1e-9);
}

// As a transformer's states have: without standardising. What plain L-BFGS does not reach in thousands of steps.
TEST(LinearProbeTest, AFeatureThatIsHugeDoesNotSlowItDown) {
  at::manual_seed(13);
  at::Tensor x = at::randn({60, 8}, at::kDouble);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 60; ++i) labels.push_back((x[i][0] + 0.5 * x[i][1]).item<double>() > 0);
  x.select(1, 3).mul_(300).add_(2000);
  const LinearProbe probe = FitLinearProbe(x, labels).value();
  EXPECT_TRUE(probe.converged);
  EXPECT_LT(probe.iterations, 60);
  // At the optimum the penalty's pull on the weights is that of the errors: W = c sum (y - p) x.
  const at::Tensor error = at::tensor(labels).to(at::kDouble) - Probabilities(probe, x).value().select(1, 1);
  const at::Tensor pull = error.matmul(x - x.mean(0));
  EXPECT_TRUE(at::allclose(probe.weights_RD[0], pull, 0, 1e-4)) << probe.weights_RD << pull;
  EXPECT_NEAR(error.sum().item<double>(), 0, 1e-6);
}

TEST(LinearProbeTest, StandardisedFeaturesHaveNoUnits) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({30, 4}, at::kDouble);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 30; ++i) labels.push_back((x[i][0] + x[i][1] * x[i][2]).item<double>() > 0);
  const at::Tensor units = at::tensor({1e-6, 1.0, 1e4, 3.0}, at::kDouble), origin = at::randn({4}, at::kDouble) * 10;
  const at::Tensor plain = Probabilities(FitLinearProbe(x, labels, {.standardize = true}).value(), x).value();
  const at::Tensor moved = x * units + origin * units;
  EXPECT_TRUE(at::allclose(
      plain, Probabilities(FitLinearProbe(moved, labels, {.standardize = true}).value(), moved).value(), 0, 1e-6));
}

TEST(LinearProbeTest, WorksInInferenceModeAndOnFloat32) {
  const c10::InferenceMode inference;
  const at::Tensor x = Matrix({{0, 1}, {1, 0}, {5, 1}, {6, 0}}).to(at::kFloat);
  const std::vector<int64_t> labels = {8, 8, -8, -8};
  EXPECT_EQ(Predict(FitLinearProbe(x, labels).value(), x).value(), labels);
}

TEST(LinearProbeTest, VectorsThatAreAllEqualGiveTheSharesOfTheClasses) {
  const at::Tensor x = at::zeros({4, 3}) + 2;
  for (const bool standardize : {false, true}) {
    const LinearProbe probe = FitLinearProbe(x, {0, 1, 1, 1}, {.standardize = standardize}).value();
    EXPECT_NEAR(Probabilities(probe, x).value()[0][1].item<double>(), 0.75, 1e-6);
  }
}

TEST(LinearProbeTest, TellsClassesThatAreFarApart) {
  at::manual_seed(7);
  std::vector<int64_t> labels;
  std::vector<int> fold_of;
  for (int64_t i = 0; i < 60; ++i) labels.push_back(i % 3), fold_of.push_back(static_cast<int>(i / 3 % 5));
  const at::Tensor x = at::randn({60, 100}) + 3 * at::randn({3, 100}).repeat({20, 1});
  EXPECT_THAT(CrossValidate(x, labels, fold_of).value().correct, Each(1));
}

TEST(LinearProbeTest, Refuses) {
  const at::Tensor x = at::randn({4, 2});
  const std::vector<int64_t> labels = {0, 1, 0, 1};
  const auto message = [](const auto& result) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  };
  EXPECT_THAT(message(FitLinearProbe(WithNan(), {0, 1, 0})), HasSubstr("vectors: expected finite values"));
  EXPECT_THAT(message(FitLinearProbe(x, {0, 1})), HasSubstr("labels: expected one for each of 4 vectors, found 2"));
  EXPECT_THAT(message(FitLinearProbe(x, {3, 3, 3, 3})), HasSubstr("labels: expected two classes or more, found 1"));
  for (const double c : {0.0, -1.0, 1e-320, HUGE_VAL, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(message(FitLinearProbe(x, labels, {.c = c})), HasSubstr("c: expected a finite number above 1e-300"));
  }
  EXPECT_THAT(message(FitLinearProbe(x, labels, {.max_iterations = 0})), HasSubstr("max_iterations: expected 1"));
  const LinearProbe probe = FitLinearProbe(x, labels).value();
  EXPECT_THAT(message(Predict(probe, at::randn({4, 3}))), HasSubstr("vectors: expected 2 dimensions, found 3"));
  EXPECT_THAT(message(Probabilities(probe, x / 0)), HasSubstr("expected finite values"));
  EXPECT_THAT(message(CrossValidate(x, labels, {0, 1, 0})), HasSubstr("fold_of: expected one for each of 4 examples"));
  EXPECT_THAT(message(CrossValidate(x, labels, {2, 2, 2, 2})), HasSubstr("fold_of: expected two folds or more"));
  EXPECT_THAT(message(CrossValidate(x, labels, {-1, 2, 2, 2})), HasSubstr("none below 0"));
  EXPECT_THAT(message(CrossValidate(x, labels, {0, 1, 0, 2})), HasSubstr("without fold 0: "));
}

}  // namespace
}  // namespace midlayer
