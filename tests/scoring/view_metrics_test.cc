// The metrics of several views of every text: golden values, invariances, streaming, what is refused.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "server/scoring/dataset_entropy.h"
#include "server/scoring/dime.h"
#include "server/scoring/infonce.h"
#include "server/scoring/lidar.h"
#include "tests/scoring/scoring_data.h"

namespace midlayer {
namespace {

using PermutationList = std::vector<std::vector<int64_t>>;

// x: (N, A, D).
LidarAccumulator Accumulate(const at::Tensor& x_NAD, double delta = 1e-4) {
  LidarAccumulator lidar(delta);
  for (int64_t text = 0; text < x_NAD.size(0); ++text) EXPECT_TRUE(lidar.Add(x_NAD[text]).ok());
  return lidar;
}

double Lidar(const at::Tensor& x_NAD, double delta = 1e-4) {
  return Accumulate(x_NAD, delta).Entropy(1, Mode::kDefinition).value();
}

at::Tensor RandomViews(int64_t texts, int64_t views, int64_t width) {
  return at::randn({texts, 1, width}, at::kDouble) + 0.3 * at::randn({texts, views, width}, at::kDouble);
}

PermutationList Rotations(int64_t n, int64_t count) {
  PermutationList permutations;
  for (int64_t shift = 1; shift <= count; ++shift) {
    permutations.emplace_back();
    for (int64_t row = 0; row < n; ++row) permutations.back().push_back((row + shift) % n);
  }
  return permutations;
}

TEST(ViewMetricsTest, GoldenValues) {
  for (const nlohmann::json& golden : ScoringGoldens().at("views")) {
    const at::Tensor x = ToTensor(golden.at("x")), a = x.select(1, 0), b = x.select(1, 1);
    SCOPED_TRACE(x.sizes());
    for (InfoNceForm form : {InfoNceForm::kNtXent, InfoNceForm::kOneDirection}) {
      for (bool cosine : {false, true}) {
        const std::string name =
            std::string(form == InfoNceForm::kNtXent ? "nt_xent" : "one_direction") + (cosine ? "_cosine" : "");
        const auto expected = golden.at(name).get<std::vector<double>>();
        const InfoNce got = MeasureInfoNce(a, b, {.form = form, .cosine = cosine, .temperature = 0.5}).value();
        ASSERT_EQ(got.losses.size(), expected.size()) << name;
        for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(got.losses[i], expected[i], 1e-10) << name;
        const double mean = std::accumulate(expected.begin(), expected.end(), 0.0) / expected.size();
        EXPECT_NEAR(got.loss, mean, 1e-10) << name;
      }
    }
    const LidarAccumulator lidar = Accumulate(x, golden.at("delta").get<double>());
    EXPECT_NEAR(lidar.Entropy(1, Mode::kDefinition).value(), golden.at("lidar").get<double>(), 1e-10);
    const std::vector<double> eigenvalues = lidar.Eigenvalues().value();
    EXPECT_NEAR(std::accumulate(eigenvalues.begin(), eigenvalues.end(), 0.0), golden.at("lidar_trace").get<double>(),
                1e-9);
    const Dime dime =
        MeasureDime(a, b, golden.at("permutations").get<PermutationList>(), {1, Mode::kDefinition}).value();
    EXPECT_NEAR(dime.value, golden.at("dime").at("value").get<double>(), 1e-10);
    EXPECT_NEAR(dime.standard_error.value(), golden.at("dime").at("standard_error").get<double>(), 1e-10);
  }
}

// --- InfoNCE ---------------------------------------------------------------------------------------------------------

TEST(InfoNceTest, IsByChanceWhereAllTextsAreTheSame) {
  const at::Tensor x = at::ones({5, 3}, at::kDouble);
  const InfoNce both = MeasureInfoNce(x, x, {}).value();
  EXPECT_NEAR(both.loss, std::log(9), 1e-12);
  EXPECT_NEAR(both.mutual_information, 0, 1e-12);
  const InfoNce one = MeasureInfoNce(x, x, {.form = InfoNceForm::kOneDirection}).value();
  EXPECT_NEAR(one.loss, std::log(5), 1e-12);
  EXPECT_NEAR(one.mutual_information, 0, 1e-12);
}

TEST(InfoNceTest, ViewsThatAreFarApartNeitherOverflowNorLose) {
  const at::Tensor x = 1e4 * at::eye(6, at::kDouble);
  for (InfoNceForm form : {InfoNceForm::kNtXent, InfoNceForm::kOneDirection}) {
    EXPECT_EQ(MeasureInfoNce(x, x, {.form = form, .cosine = false}).value().loss, 0);
  }
}

// More anchors than a tile has rows: anchors that do not see each other are as if alone.
TEST(InfoNceTest, TilesAreOne) {
  const at::Tensor x = RandomViews(300, 2, 16), a = x.select(1, 0), b = x.select(1, 1);
  for (InfoNceForm form : {InfoNceForm::kNtXent, InfoNceForm::kOneDirection}) {
    const InfoNce got = MeasureInfoNce(a, b, {.form = form}).value();
    const InfoNce reversed = MeasureInfoNce(a.flip(0), b.flip(0), {.form = form}).value();
    for (size_t i = 0; i < 300; ++i) EXPECT_NEAR(got.losses[i], reversed.losses[299 - i], 1e-10);
    EXPECT_NEAR(got.loss, reversed.loss, 1e-12);
  }
}

TEST(InfoNceTest, KnowsNoRotationAndWithCosineNoLength) {
  const at::Tensor x = RandomViews(7, 2, 5), a = x.select(1, 0), b = x.select(1, 1), q = Rotation(5);
  const double loss = MeasureInfoNce(a, b, {}).value().loss;
  EXPECT_NEAR(MeasureInfoNce(at::mm(a, q), at::mm(b, q), {}).value().loss, loss, 1e-12);
  EXPECT_NEAR(MeasureInfoNce(3 * a, 0.1 * b, {}).value().loss, loss, 1e-12);
  EXPECT_NEAR(MeasureInfoNce(b, a, {}).value().loss, loss, 1e-12) << "of both directions";
  EXPECT_GT(MeasureInfoNce(a, b.flip(0), {}).value().loss, loss) << "wrong pairs";
}

TEST(InfoNceTest, RefusesWhatHasNoLoss) {
  const at::Tensor x = Random(4, 3);
  for (double temperature : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_EQ(MeasureInfoNce(x, x, {.temperature = temperature}).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(MeasureInfoNce(x, Random(5, 3), {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MeasureInfoNce(x.narrow(0, 0, 1), x.narrow(0, 0, 1), {}).status().message(), "fewer than 2 texts");
  EXPECT_EQ(MeasureInfoNce(x, at::cat({x.narrow(0, 0, 3), 0 * x.narrow(0, 0, 1)}), {}).status().message(),
            "zero vector");
  EXPECT_FALSE(MeasureInfoNce(x * kNan, x, {}).ok());
  EXPECT_FALSE(MeasureInfoNce(x, x / 0, {}).ok());
  EXPECT_TRUE(MeasureInfoNce(0 * x, x, {.cosine = false}).ok());
}

// --- LiDAR -----------------------------------------------------------------------------------------------------------

TEST(LidarTest, KnowsNeitherOrderNorRotation) {
  for (const auto& [texts, width] : {std::pair{9, 4}, std::pair{4, 9}}) {
    const at::Tensor x = RandomViews(texts, 3, width), q = Rotation(width);
    EXPECT_NEAR(Lidar(x.flip(0)), Lidar(x), 1e-9);
    EXPECT_NEAR(Lidar(x.flip(1)), Lidar(x), 1e-9);
    EXPECT_NEAR(Lidar(x.matmul(q)), Lidar(x), 1e-9);
    EXPECT_NEAR(Lidar(10 * x, 1e-2), Lidar(x, 1e-4), 1e-9) << "delta is in squared units";
    EXPECT_NEAR(Lidar(x + 50), Lidar(x), 1e-6);
  }
}

// 40 texts of 16 views are added to the scatter in three portions; the eigenvalues do not know when.
TEST(LidarTest, PortionsAreOne) {
  const at::Tensor x = RandomViews(40, 16, 6);
  LidarAccumulator lidar;
  for (int64_t text = 0; text < 40; ++text) {
    ASSERT_TRUE(lidar.Add(x[text]).ok());
    EXPECT_EQ(lidar.Eigenvalues().ok(), text > 0) << "asking on the way changes nothing";
  }
  const at::Tensor means_ND = at::mean(x, 1), residuals = (x - means_ND.unsqueeze(1)).reshape({-1, 6});
  const at::Tensor within = at::mm(residuals.t(), residuals) / 640 + 1e-4 * at::eye(6, at::kDouble);
  const at::Tensor c = means_ND - at::mean(means_ND, 0);
  // tr(Sw^-1 Sb) is the sum of the eigenvalues.
  const double trace = within.inverse().matmul(at::mm(c.t(), c) / 40).trace().item<double>();
  const std::vector<double> got = lidar.Eigenvalues().value();
  EXPECT_EQ(got.size(), 6u);
  EXPECT_NEAR(std::accumulate(got.begin(), got.end(), 0.0), trace, 1e-9 * trace);
}

TEST(LidarTest, ViewsThatAreTheSameLeaveTheEntropyOfTheTexts) {
  const at::Tensor means = Random(6, 8);
  const at::Tensor x = means.unsqueeze(1).expand({6, 3, 8});
  const double entropy = MeasureDatasetEntropy(means, {.normalization = EntropyNormalization::kRaw}).centered.value();
  EXPECT_NEAR(Lidar(x), entropy, 1e-9);
  EXPECT_NEAR(Lidar(x.narrow(1, 0, 1)), entropy, 1e-9) << "one view";
}

TEST(LidarTest, RefusesWhatDoesNotFitAndKeepsWhatItHas) {
  LidarAccumulator lidar;
  EXPECT_EQ(lidar.Eigenvalues().status().message(), "fewer than 2 texts");
  const at::Tensor x = RandomViews(3, 2, 4);
  ASSERT_TRUE(lidar.Add(x[0]).ok());
  EXPECT_EQ(lidar.Entropy(1, Mode::kDefinition).status().message(), "fewer than 2 texts");
  for (const at::Tensor& bad : {Random(3, 4), Random(2, 5), at::Tensor(), at::ones({4}), at::zeros({0, 4})}) {
    EXPECT_EQ(lidar.Add(bad).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(lidar.Add(x[1] * kNan).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(lidar.Add(x[1]).ok());
  ASSERT_TRUE(lidar.Add(x[2]).ok());
  EXPECT_EQ(lidar.texts(), 3);
  EXPECT_EQ(lidar.Entropy(1, Mode::kDefinition).value(), Lidar(x));
  EXPECT_EQ(lidar.Entropy(-1, Mode::kDefinition).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Accumulate(at::ones({3, 2, 4}, at::kDouble)).Entropy(1, Mode::kDefinition).ok()) << "texts are the same";
  for (double delta : {0.0, -1.0, kNan}) {
    EXPECT_EQ(LidarAccumulator(delta).Add(x[0]).code(), absl::StatusCode::kInvalidArgument);
  }
}

// --- DiME ------------------------------------------------------------------------------------------------------------

TEST(DimeTest, PairsThatBelongTogetherHaveLessEntropy) {
  const at::Tensor x = RandomViews(12, 2, 20), a = x.select(1, 0), b = x.select(1, 1);
  const Dime dime = MeasureDime(a, b, Rotations(12, 8), {1, Mode::kDefinition}).value();
  EXPECT_GT(dime.value, 0);
  EXPECT_NEAR(dime.value, dime.shuffled_entropy - dime.joint_entropy, 1e-12);
  EXPECT_GT(dime.standard_error.value(), 0);
  const Dime turned = MeasureDime(at::mm(a, Rotation(20)), 7 * b, Rotations(12, 8), {1, Mode::kDefinition}).value();
  EXPECT_NEAR(turned.value, dime.value, 1e-10);
}

TEST(DimeTest, TheIdentityIsNoShuffle) {
  const at::Tensor x = Random(5, 3);
  const Dime dime = MeasureDime(x, x, PermutationList{{0, 1, 2, 3, 4}}, {2, Mode::kDefinition}).value();
  EXPECT_EQ(dime.value, 0);
  EXPECT_FALSE(dime.standard_error.has_value()) << "of one permutation";
}

// For N > D the reference shuffles dimensions.
TEST(DimeTest, TheReferencesMatricesAreOfTheSmallerSide) {
  const at::Tensor a = Random(6, 4), b = Random(6, 4);
  const Dime reference = MeasureDime(a, b, Rotations(4, 3), {1, Mode::kReference2024}).value();
  EXPECT_NEAR(
      reference.value,
      DifferenceOfEntropies(at::mm(a.t(), a), at::mm(b.t(), b), Rotations(4, 3), {1, Mode::kDefinition}).value().value,
      1e-12);
  EXPECT_FALSE(MeasureDime(a, b, Rotations(4, 3), {1, Mode::kDefinition}).ok()) << "permutations of 6";
  const at::Tensor wide = Random(4, 6), other = Random(4, 6);
  EXPECT_EQ(MeasureDime(wide, other, Rotations(4, 3), {1, Mode::kReference2025}).value().value,
            MeasureDime(wide, other, Rotations(4, 3), {1, Mode::kDefinition}).value().value);
}

TEST(DimeTest, RefusesWhatIsNoPermutation) {
  const at::Tensor x = Random(3, 4);
  const PermutationList cases[] = {{},           {{0, 1}},       {{0, 1, 1}},    {{0, 1, 3}},
                                   {{0, 1, -1}}, {{0, 1, 2, 0}}, {{2, 1, 0}, {}}};
  for (const PermutationList& permutations : cases) {
    EXPECT_EQ(MeasureDime(x, x, permutations, {1, Mode::kDefinition}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  const PermutationList good = {{2, 1, 0}};
  EXPECT_EQ(MeasureDime(x, Random(3, 5), good, {1, Mode::kDefinition}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MeasureDime(x, x, good, {0, Mode::kDefinition}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(MeasureDime(x, x * kNan, good, {1, Mode::kDefinition}).ok());
  EXPECT_FALSE(MeasureDime(x, 0 * x, good, {1, Mode::kDefinition}).ok());
  EXPECT_FALSE(MeasureDime(x, x * 1e100, good, {1, Mode::kDefinition}).ok()) << "overflows";
  EXPECT_EQ(MeasureDime(x.narrow(0, 0, 1), x.narrow(0, 0, 1), PermutationList{{0}}, {1, Mode::kDefinition})
                .status()
                .message(),
            "fewer than 2 texts");
}

}  // namespace
}  // namespace midlayer
