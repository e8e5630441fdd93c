// The metrics of one text: golden values, invariances, texts without them.
#include "server/scoring/prompt_metrics.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "server/scoring/center.h"
#include "server/scoring/curvature.h"
#include "server/scoring/intrinsic_dimension.h"
#include "tests/scoring/scoring_data.h"

namespace midlayer {
namespace {

constexpr auto kRaw = EntropyNormalization::kRaw;
constexpr Mode kModes[] = {Mode::kDefinition, Mode::kReference2024, Mode::kReference2025};

TEST(PromptMetricsTest, GoldenValues) {
  for (const nlohmann::json& golden : ScoringGoldens().at("tokens")) {
    const at::Tensor x = ToTensor(golden.at("x"));
    SCOPED_TRACE(x.sizes());
    for (const auto& [alpha, value] : golden.at("prompt_entropy").items()) {
      const EntropyOptions options = {.alpha = std::stod(alpha), .normalization = kRaw};
      EXPECT_NEAR(Measure(x, options).prompt_entropy.value(), value.get<double>(), 1e-10) << alpha;
    }
    for (const auto& [alpha, value] : golden.at("prompt_entropy_reference").items()) {
      const EntropyOptions options = {.alpha = std::stod(alpha), .normalization = kRaw, .mode = Mode::kReference2025};
      EXPECT_NEAR(Measure(x, options).prompt_entropy.value(), value.get<double>(), 1e-10) << alpha;
    }
    const auto curvature = [&x](Mode mode) { return Measure(x, {.mode = mode}).curvature.value(); };
    EXPECT_NEAR(curvature(Mode::kDefinition), golden.at("curvature").get<double>(), 1e-10);
    EXPECT_NEAR(curvature(Mode::kReference2024), golden.at("curvature_2024").get<double>(), 1e-10);
    EXPECT_NEAR(curvature(Mode::kReference2025), golden.at("curvature_2025").get<double>(), 1e-10);
    const TokenMetrics metrics = Measure(x, {});
    EXPECT_NEAR(metrics.intrinsic_dimension.value(), golden.at("intrinsic_dimension").get<double>(), 1e-9);
    EXPECT_TRUE(at::allclose(metrics.pooled_centered_D.value(), ToTensor(golden.at("pooled_centered")), 1e-10, 1e-12));
  }
}

void ExpectSame(const TokenMetrics& a, const TokenMetrics& b) {
  EXPECT_NEAR(a.prompt_entropy.value(), b.prompt_entropy.value(), 1e-9);
  EXPECT_NEAR(a.curvature.value(), b.curvature.value(), 1e-9);
  EXPECT_NEAR(a.intrinsic_dimension.value(), b.intrinsic_dimension.value(), 1e-7);
}

TEST(PromptMetricsTest, TogetherTheyAreWhatTheyAreAlone) {
  for (Mode mode : kModes) {
    for (const auto& [tokens, width] : {std::pair{9, 20}, std::pair{20, 9}}) {
      const at::Tensor x = Random(tokens, width);
      const EntropyOptions options = {.mode = mode};
      const TokenMetrics metrics = Measure(x, options);
      EXPECT_NEAR(metrics.prompt_entropy.value(), PromptEntropy(x, options).value(), 1e-12);
      EXPECT_EQ(metrics.curvature.value(), Curvature(x, mode).value());
      EXPECT_NEAR(metrics.intrinsic_dimension.value(), IntrinsicDimension(x).value(), 1e-12);
      EXPECT_TRUE(at::allclose(metrics.pooled_centered_D.value(), PooledCentered(x).value()));
      EXPECT_EQ(metrics.dropped_tokens, 0);
    }
  }
}

TEST(PromptMetricsTest, DefinitionsKnowNeitherRotationNorScaleNorOrigin) {
  const at::Tensor x = Random(15, 8), q = Rotation(8), origin = Random(1, 8);
  ExpectSame(Measure(at::mm(x, q), {}), Measure(x, {}));
  ExpectSame(Measure(250 * x, {}), Measure(x, {}));
  ExpectSame(Measure(x + 10 * origin, {}), Measure(x, {}));
  ExpectSame(Measure(x.flip(0), {}), Measure(x, {}));  // the path backwards turns as much
}

TEST(PromptMetricsTest, OnlyCurvatureKnowsTheOrderOfTokens) {
  const at::Tensor x = Random(12, 6), mixed = at::cat({x.slice(0, 1, 12, 2), x.slice(0, 0, 12, 2)});
  const TokenMetrics a = Measure(x, {}), b = Measure(mixed, {});
  EXPECT_NEAR(a.prompt_entropy.value(), b.prompt_entropy.value(), 1e-12);
  EXPECT_NEAR(a.intrinsic_dimension.value(), b.intrinsic_dimension.value(), 1e-9);
  EXPECT_GT(std::fabs(a.curvature.value() - b.curvature.value()), 1e-6);
}

TEST(PromptMetricsTest, TakesEveryFloatingType) {
  const at::Tensor x = Random(10, 6).to(at::kFloat);
  ExpectSame(Measure(x, {}), Measure(x.to(at::kDouble), {}));
  EXPECT_TRUE(Measure(x.to(at::kBFloat16), {}).prompt_entropy.ok());
}

TEST(CurvatureTest, OfPathsThatAreKnown) {
  const at::Tensor line = at::tensor({0.0, 1.0, 2.0, 5.0}).unsqueeze(1) * at::tensor({1.0, -2.0, 0.5});
  EXPECT_NEAR(Curvature(line, Mode::kDefinition).value(), 0, 1e-7);
  const at::Tensor back = at::tensor({0.0, 1.0, 0.0, 1.0}).unsqueeze(1) * at::tensor({1.0, -2.0, 0.5});
  EXPECT_NEAR(Curvature(back, Mode::kDefinition).value(), M_PI, 1e-7);
  EXPECT_NEAR(TurningAngle(back, /*folded=*/true), 0, 1e-7);
  const at::Tensor stairs = at::tensor({0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0}).view({4, 2});
  EXPECT_NEAR(Curvature(stairs, Mode::kDefinition).value(), M_PI / 2, 1e-12);
  EXPECT_NEAR(TurningAngle(stairs, /*folded=*/true), M_PI / 2, 1e-12);
  const at::Tensor still = at::repeat_interleave(Random(3, 4), 2, 0);
  EXPECT_EQ(Curvature(still, Mode::kDefinition).value(), 0) << "beside each turn is a step of length 0";
  EXPECT_NEAR(NeighbourAngle(at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, 0.0}).view({3, 2}), 2), M_PI, 1e-12);
}

// A grid of points in a plane, in 6 dimensions; TwoNN needs many points and no regularity.
TEST(IntrinsicDimensionTest, FindsTheDimensionOfFlatSets) {
  for (int64_t dimension : {1, 2, 4}) {
    const at::Tensor x = at::mm(Random(400, dimension), Random(dimension, 6)) + 5;
    EXPECT_NEAR(IntrinsicDimension(x).value(), static_cast<double>(dimension), 0.25 * static_cast<double>(dimension));
  }
}

TEST(IntrinsicDimensionTest, EqualPointsCountOnce) {
  const at::Tensor x = Random(30, 5);
  const double alone = IntrinsicDimension(x).value();
  EXPECT_NEAR(IntrinsicDimension(at::cat({x, x, x.narrow(0, 3, 4)})).value(), alone, 1e-9);
  EXPECT_NEAR(Measure(at::cat({x, x}), {}).intrinsic_dimension.value(), alone, 1e-9);
}

TEST(IntrinsicDimensionTest, NeedsDistancesThatDiffer) {
  EXPECT_EQ(IntrinsicDimension(at::eye(5, at::kDouble)).status().message(),
            "vectors that are all equally far from each other");
  EXPECT_EQ(IntrinsicDimension(at::repeat_interleave(Random(2, 4), 3, 0)).status().message(),
            "fewer than 3 distinct vectors");
}

TEST(CenterTest, RowsHaveLengthOneAndNoMeanBefore) {
  const CenteredRows centered = Center(Random(7, 4) + 100).value();
  EXPECT_TRUE(at::allclose(at::mean(centered.rows_KD, 0), at::zeros(4, at::kDouble), 0, 1e-12));
  EXPECT_TRUE(at::allclose(at::linalg_vector_norm(centered.Unit(), 2, 1), at::ones(7, at::kDouble)));
}

TEST(CenterTest, DropsTokensThatAreTheMean) {
  const at::Tensor x = at::tensor({1.1, 0.3, -0.7, 0.3, 0.2, 0.9, 0.2, -0.3, 0.2, 0.3}).view({5, 2});
  const CenteredRows centered = Center(x).value();
  EXPECT_EQ(centered.dropped, 1);
  EXPECT_EQ(centered.size(), 4);
  const TokenMetrics metrics = Measure(x, {.normalization = kRaw});
  EXPECT_EQ(metrics.dropped_tokens, 1);
  EXPECT_NEAR(metrics.prompt_entropy.value(), std::log(2), 1e-12) << "two axes, even";
}

TEST(PromptMetricsTest, ATokenAtTheMeanStaysAPoint) {
  const at::Tensor half = Random(8, 5), x = at::cat({half, at::zeros({1, 5}, at::kDouble), -half});
  const TokenMetrics metrics = Measure(x, {});
  EXPECT_EQ(metrics.dropped_tokens, 1);
  EXPECT_NEAR(metrics.intrinsic_dimension.value(), IntrinsicDimension(x).value(), 1e-12);
}

// Each text with the reason why it has no entropy and, by the definition, no curvature ("": it has).
TEST(PromptMetricsTest, SaysWhyAMetricIsNotDefined) {
  const at::Tensor x = Random(5, 4), same = at::ones({1, 4}, at::kDouble) / 3;
  const char* not_finite = "values that are not finite, or too large";
  const struct {
    const char* what;
    at::Tensor states;
    std::string entropy, curvature, entropy_2024;
  } cases[] = {
      {"good", x, "", "", ""},
      {"one token", x.narrow(0, 0, 1), "fewer than 3 tokens", "fewer than 3 tokens", "fewer than 2 tokens"},
      {"two tokens", x.narrow(0, 0, 2), "fewer than 3 tokens", "fewer than 3 tokens", ""},
      {"equal tokens", at::repeat_interleave(same, 7, 0), "vectors that are all the same", "",
       "vectors that are all the same"},
      {"a token at the mean", at::cat({x.narrow(0, 0, 1), -x.narrow(0, 0, 1), 0 * x.narrow(0, 0, 1)}),
       "too few tokens that differ from their mean", "", ""},
      {"NaN", at::cat({x, same * kNan}), not_finite, not_finite, not_finite},
      {"infinite", at::cat({x, same * kInfinity}), not_finite, not_finite, not_finite},
      {"too large", x * 1e200, not_finite, not_finite, not_finite},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    const TokenMetrics metrics = Measure(test.states, {});
    EXPECT_EQ(metrics.prompt_entropy.status().message(), test.entropy);
    EXPECT_EQ(PromptEntropy(test.states, {}).status().message(), test.entropy);
    EXPECT_EQ(metrics.curvature.status().message(), test.curvature);
    EXPECT_EQ(Curvature(test.states, Mode::kDefinition).status().message(), test.curvature);
    EXPECT_EQ(Measure(test.states, {.mode = Mode::kReference2024}).prompt_entropy.status().message(),
              test.entropy_2024);
  }
}

TEST(PromptMetricsTest, RefusesWhatIsNoMatrixAndBadOptions) {
  for (const at::Tensor& bad : {at::Tensor(), at::ones({4}), at::ones({0, 4}), at::ones({2, 2, 2})}) {
    EXPECT_EQ(Measure(bad, {}).prompt_entropy.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Measure(bad, {}).pooled_centered_D.status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(Measure(Random(5, 4), {.alpha = 0}).prompt_entropy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Measure(Random(5, 1), {}).prompt_entropy.ok()) << "log 1";
}

TEST(PromptMetricsTest, ThreadsDoNotDisturbEachOther) {
  std::vector<at::Tensor> texts;
  std::vector<TokenMetrics> expected;
  for (int64_t tokens = 5; tokens < 45; ++tokens) {
    texts.push_back(Random(tokens, 24));
    expected.push_back(Measure(texts.back(), {}));
  }
  std::vector<std::vector<TokenMetrics>> got(4);
  std::vector<std::thread> threads;
  for (std::vector<TokenMetrics>& mine : got) {
    threads.emplace_back([&mine, &texts] {
      at::set_num_threads(1);
      for (const at::Tensor& text : texts) mine.push_back(Measure(text, {}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<TokenMetrics>& one : got) {
    for (size_t i = 0; i < texts.size(); ++i) ExpectSame(one[i], expected[i]);
  }
}

}  // namespace
}  // namespace midlayer
