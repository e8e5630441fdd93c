// Entropies against closed forms, their invariances, and what is refused.
#include "server/scoring/entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "server/scoring/spectrum.h"
#include "tests/scoring/scoring_data.h"

namespace midlayer {
namespace {

using ::testing::HasSubstr;

constexpr double kAlphas[] = {0.3, 1 - 1e-9, 1, 1.01, 2, 3.5};

TEST(RenyiEntropyTest, EvenSpectraHaveTheLogarithmOfTheirRank) {
  for (double alpha : kAlphas) {
    EXPECT_NEAR(RenyiEntropy({2.5, 2.5, 2.5}, alpha).value(), std::log(3), 1e-12) << alpha;
    EXPECT_EQ(RenyiEntropy({7}, alpha).value(), 0) << alpha;
    EXPECT_NEAR(RenyiEntropy({-1, 1, 1e-18, 1}, alpha).value(), std::log(2), 1e-12)
        << alpha << ": not positive, rounding";
  }
}

// p = 3/4, 1/4.
TEST(RenyiEntropyTest, FollowsTheFormulaOfItsOrder) {
  const double p = 0.75, q = 0.25;
  EXPECT_NEAR(RenyiEntropy({3, 1}, 1).value(), -p * std::log(p) - q * std::log(q), 1e-15);
  EXPECT_NEAR(RenyiEntropy({3, 1}, 2).value(), -std::log(p * p + q * q), 1e-15);
  EXPECT_NEAR(RenyiEntropy({3, 1}, 0.5).value(), 2 * std::log(std::sqrt(p) + std::sqrt(q)), 1e-15);
  EXPECT_NEAR(RenyiEntropy({3, 1}, 1 + 1e-6).value(), RenyiEntropy({3, 1}, 1).value(), 1e-6) << "continuous at 1";
}

TEST(RenyiEntropyTest, OfHighOrderIsThatOfTheLargest) {
  EXPECT_NEAR(RenyiEntropy({3, 1, 1, 1}, 1e6).value(), std::log(2), 1e-5) << "(1/2)^1e6 is no number";
}

TEST(RenyiEntropyTest, FallsWithItsOrder) {
  double last = kInfinity;
  for (double alpha : {0.1, 0.5, 1.0, 2.0, 5.0}) {
    const double entropy = RenyiEntropy({4, 2, 1, 0.5}, alpha).value();
    EXPECT_LT(entropy, last) << alpha;
    last = entropy;
  }
}

TEST(RenyiEntropyTest, RefusesWhatHasNone) {
  for (double alpha : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_EQ(RenyiEntropy({1, 2}, alpha).status().code(), absl::StatusCode::kInvalidArgument) << alpha;
  }
  EXPECT_EQ(RenyiEntropy({}, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RenyiEntropy({0, -1}, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  for (double bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_EQ(RenyiEntropy({1, bad, 2}, 1).status().message(), NotFinite().message()) << bad;
  }
  EXPECT_EQ(RenyiEntropy({1e308, 1e308}, 1).status().message(), NotFinite().message()) << "their sum";
}

TEST(MatrixEntropyTest, KnowsNeitherScaleNorRotationNorOrder) {
  const at::Tensor x = Random(6, 9), k = at::mm(x, x.t()), q = Rotation(6);
  const at::Tensor turned = at::mm(at::mm(q, k), q.t());
  for (double alpha : kAlphas) {
    const double entropy = MatrixEntropy(k, alpha).value();
    EXPECT_NEAR(MatrixEntropy(1e-3 * k, alpha).value(), entropy, 1e-9) << alpha;
    EXPECT_NEAR(MatrixEntropy(turned, alpha).value(), entropy, 1e-9) << alpha;
    EXPECT_NEAR(RenyiEntropy(SymmetricEigenvalues(k).value(), alpha).value(), entropy, 1e-9) << alpha;
    EXPECT_LE(entropy, std::log(6));
  }
}

// -log(sum of squares / n^2) with a trace of 4 in place of 2: off by 2 log 2.
TEST(MatrixEntropyTest, TheReferencesShortcutDependsOnTheTrace) {
  const at::Tensor k = 2 * at::eye(2, at::kDouble);
  EXPECT_NEAR(MatrixEntropy(k, 2).value(), std::log(2), 1e-15);
  EXPECT_NEAR(MatrixEntropy(k, 2, Mode::kReference2024).value(), -std::log(2), 1e-15);
  EXPECT_NEAR(MatrixEntropy(k, 2, Mode::kReference2025).value(), -std::log(2), 1e-15);
  EXPECT_NEAR(MatrixEntropy(k / 2, 2, Mode::kReference2024).value(), std::log(2), 1e-15);
  EXPECT_NEAR(MatrixEntropy(k, 1, Mode::kReference2024).value(), std::log(2), 1e-15) << "the others are the same";
}

TEST(MatrixEntropyTest, RefusesMatricesWithoutAnEntropy) {
  const at::Tensor good = at::eye(3, at::kDouble);
  const struct {
    const char* what;
    at::Tensor matrix;
    absl::StatusCode code;
  } cases[] = {
      {"zero", at::zeros({3, 3}, at::kDouble), absl::StatusCode::kFailedPrecondition},
      {"NaN", good * kNan, absl::StatusCode::kFailedPrecondition},
      {"infinite", good / 0, absl::StatusCode::kFailedPrecondition},
      {"too large", good * 1e200, absl::StatusCode::kFailedPrecondition},
      {"negative", good * -1, absl::StatusCode::kFailedPrecondition},
      {"not square", at::ones({2, 3}, at::kDouble), absl::StatusCode::kInvalidArgument},
      {"vector", at::ones({3}, at::kDouble), absl::StatusCode::kInvalidArgument},
      {"undefined", at::Tensor(), absl::StatusCode::kInvalidArgument},
      {"float32", good.to(at::kFloat), absl::StatusCode::kInvalidArgument},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(MatrixEntropy(test.matrix, 1).status().code(), test.code) << test.what;
    EXPECT_EQ(MatrixEntropy(test.matrix, 2).status().code(), test.code) << test.what << ", alpha 2";
  }
  EXPECT_EQ(MatrixEntropy(good, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(JointEntropy(good, at::eye(4, at::kDouble), 1).ok());
  EXPECT_FALSE(JointEntropy(good, at::Tensor(), 1).ok());
  EXPECT_FALSE(MutualInformation(at::Tensor(), good, 1).ok());
}

// Ones know nothing, and a matrix with itself shares all that a second look adds.
TEST(MutualInformationTest, OfIndependentKernelsIsZero) {
  const at::Tensor x = Random(5, 3), k = at::mm(x, x.t()) + at::eye(5, at::kDouble);
  EXPECT_NEAR(MutualInformation(k, at::ones({5, 5}, at::kDouble), 1).value(), 0, 1e-12);
  EXPECT_NEAR(MutualInformation(at::eye(5, at::kDouble), at::eye(5, at::kDouble), 1).value(), std::log(5), 1e-12);
}

TEST(NormalizeTest, DividesByTheLogarithmsAskedFor) {
  using enum EntropyNormalization;
  const double ln = std::log(10), ld = std::log(4);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kRaw, 10, 4).value(), 1.2);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kLogN, 10, 4).value(), 1.2 / ln);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kLogD, 10, 4).value(), 1.2 / ld);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kMaxEntropy, 10, 4).value(), 1.2 / ld);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kMaxEntropy, 4, 10).value(), 1.2 / ld);
  EXPECT_DOUBLE_EQ(Normalize(1.2, kLogNLogD, 10, 4).value(), 1.2 / (ln * ld));
  EXPECT_EQ(Normalize(1.2, kRaw, 1, 1).value(), 1.2);
  EXPECT_FALSE(Normalize(1.2, kLogN, 1, 4).ok());
  EXPECT_FALSE(Normalize(1.2, kMaxEntropy, 10, 1).ok());
  EXPECT_FALSE(Normalize(1.2, kLogNLogD, 10, 1).ok());
}

TEST(ToMatrixTest, NamesWhatIsWrong) {
  EXPECT_THAT(ToMatrix(at::ones({3}), "views").status().message(), HasSubstr("views: expected a matrix"));
  EXPECT_FALSE(ToMatrix(at::ones({0, 3}), "x").ok());
  EXPECT_FALSE(ToMatrix(at::ones({3, 2}, at::kLong), "x").ok());
  EXPECT_FALSE(ToMatrix(at::Tensor(), "x").ok());
  const at::Tensor got = ToMatrix(at::ones({3, 2}, at::kFloat).t(), "x").value();
  EXPECT_TRUE(got.is_contiguous());
  EXPECT_EQ(got.scalar_type(), at::kDouble);
}

TEST(SmallerGramTest, HasThePositiveEigenvaluesOfEitherSide) {
  const at::Tensor x = Random(4, 7);
  const std::vector<double> smaller = SymmetricEigenvalues(SmallerGram(x)).value();
  const std::vector<double> larger = SymmetricEigenvalues(at::mm(x.t(), x)).value();
  ASSERT_EQ(smaller.size(), 4u);
  ASSERT_EQ(larger.size(), 7u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(smaller[i], larger[i + 3], 1e-12);
  EXPECT_EQ(PositiveEigenvalues(larger).size(), 4u) << "the rest is rounding";
  EXPECT_EQ(SmallerGram(x.t()).size(0), 4);
}

}  // namespace
}  // namespace midlayer
