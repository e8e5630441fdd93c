// The metrics of a set of vectors: golden values, invariances, collapsed and broken sets.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/std.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/scoring/dataset_entropy.h"
#include "server/scoring/jackknife.h"
#include "server/scoring/rank_metrics.h"
#include "server/scoring/set_grams.h"
#include "tests/scoring/scoring_data.h"

namespace midlayer {
namespace {

constexpr auto kRaw = EntropyNormalization::kRaw;

std::map<std::string, absl::StatusOr<double>> ByName(const RankMetrics& metrics) {
  return {{"effective_rank", metrics.effective_rank},
          {"roy_vetterli", metrics.roy_vetterli},
          {"rank_me", metrics.rank_me},
          {"participation_ratio", metrics.participation_ratio},
          {"stable_rank", metrics.stable_rank},
          {"ne_sum", metrics.ne_sum},
          {"self_cluster", metrics.self_cluster},
          {"anisotropy", metrics.anisotropy}};
}

TEST(SetMetricsTest, GoldenValues) {
  for (const nlohmann::json& golden : ScoringGoldens().at("datasets")) {
    const at::Tensor x = ToTensor(golden.at("x"));
    SCOPED_TRACE(x.sizes());
    for (const auto& [name, value] : ByName(MeasureRank(x))) {
      EXPECT_NEAR(value.value(), golden.at("rank").at(name).get<double>(), 1e-9) << name;
    }
    const DatasetEntropy entropy = MeasureDatasetEntropy(x, {.normalization = kRaw});
    EXPECT_NEAR(entropy.as_is.value(), golden.at("dataset_entropy").get<double>(), 1e-10);
    EXPECT_NEAR(entropy.centered.value(), golden.at("dataset_entropy_centered").get<double>(), 1e-10);
    const EntropyOptions reference = {.normalization = kRaw, .mode = Mode::kReference2024};
    EXPECT_NEAR(MeasureDatasetEntropy(x, reference).as_is.value(), golden.at("dataset_entropy_reference").get<double>(),
                1e-10);
  }
}

void ExpectSame(const absl::StatusOr<double>& a, const absl::StatusOr<double>& b, const std::string& name) {
  EXPECT_EQ(a.status(), b.status()) << name;
  if (!a.ok() || !b.ok()) return;
  EXPECT_NEAR(*a, *b, 1e-9 * std::fmax(1, std::fabs(*b))) << name;
}

// a, b: vectors or SetGrams.
template <typename Set>
void ExpectSame(const Set& a, const Set& b) {
  const auto expected = ByName(MeasureRank(b));
  for (const auto& [name, value] : ByName(MeasureRank(a))) ExpectSame(value, expected.at(name), name);
  const DatasetEntropy x = MeasureDatasetEntropy(a, {}), y = MeasureDatasetEntropy(b, {});
  ExpectSame(x.as_is, y.as_is, "dataset entropy");
  ExpectSame(x.centered, y.centered, "centred dataset entropy");
}

TEST(SetMetricsTest, KnowNeitherOrderNorRotationNorScale) {
  for (const auto& [n, d] : {std::pair{12, 5}, std::pair{5, 12}}) {
    const at::Tensor x = Random(n, d) + 0.5;
    ExpectSame(x.flip(0), x);
    ExpectSame(at::mm(x, Rotation(d)), x);
    ExpectSame(1e-4 * x, x);
    ExpectSame(x.to(at::kFloat), x.to(at::kFloat).to(at::kDouble));
  }
}

// Twice the same texts: the spectrum is doubled, its shape is not. Pairs of a text with itself raise the last two.
TEST(SetMetricsTest, TwiceTheSameTextsFillTheSameDirections) {
  const at::Tensor x = Random(15, 6);
  const RankMetrics once = MeasureRank(x), twice = MeasureRank(at::cat({x, x}));
  EXPECT_NEAR(twice.effective_rank.value(), once.effective_rank.value(), 1e-10);
  EXPECT_NEAR(twice.roy_vetterli.value(), once.roy_vetterli.value(), 1e-10);
  EXPECT_NEAR(twice.participation_ratio.value(), once.participation_ratio.value(), 1e-10);
  EXPECT_NEAR(twice.ne_sum.value(), once.ne_sum.value(), 1e-10);
  EXPECT_GT(twice.self_cluster.value(), once.self_cluster.value());
  EXPECT_GT(twice.anisotropy.value(), once.anisotropy.value());
}

TEST(RankMetricsTest, OfSetsThatAreKnown) {
  const RankMetrics even = MeasureRank(at::eye(4, at::kDouble));
  EXPECT_NEAR(even.effective_rank.value(), 4, 1e-12);
  EXPECT_NEAR(even.roy_vetterli.value(), 4, 1e-12);
  EXPECT_NEAR(even.participation_ratio.value(), 4, 1e-12);
  EXPECT_NEAR(even.stable_rank.value(), 4, 1e-12);
  EXPECT_NEAR(even.ne_sum.value(), 3, 1e-12) << "centring takes one direction";
  EXPECT_NEAR(even.anisotropy.value(), 0, 1e-12);
  const RankMetrics line = MeasureRank(at::tensor({1.0, 2.0, 3.0}).unsqueeze(1) * at::tensor({1.0, 1.0, -2.0}));
  for (const auto& value : {line.effective_rank, line.roy_vetterli, line.participation_ratio, line.stable_rank,
                            line.ne_sum, line.self_cluster, line.anisotropy}) {
    EXPECT_NEAR(value.value(), 1, 1e-9);
  }
}

TEST(SetMetricsTest, SayWhyTheyAreNotDefined) {
  const at::Tensor x = Random(4, 3);
  const std::string not_finite = "values that are not finite, or too large";
  const struct {
    const char* what;
    at::Tensor vectors;
    std::string effective_rank, ne_sum, anisotropy;  // "": defined
  } cases[] = {
      {"good", x, "", "", ""},
      {"one vector", x.narrow(0, 0, 1), "fewer than 2 vectors", "fewer than 2 vectors", "fewer than 2 vectors"},
      {"zero", 0 * x, "vectors that are all zero", "vectors that are all zero", "vectors that are all zero"},
      {"all the same", x.narrow(0, 0, 1).expand({9, 3}), "", "vectors that are all the same", ""},
      {"one that is not zero", at::cat({x.narrow(0, 0, 1), 0 * x}), "", "", "fewer than 2 vectors that are not zero"},
      {"NaN", x * kNan, not_finite, not_finite, not_finite},
      {"infinite", x * kInfinity, not_finite, not_finite, not_finite},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    const RankMetrics metrics = MeasureRank(test.vectors);
    EXPECT_EQ(metrics.effective_rank.status().message(), test.effective_rank);
    EXPECT_EQ(metrics.ne_sum.status().message(), test.ne_sum);
    EXPECT_EQ(metrics.anisotropy.status().message(), test.anisotropy);
    const DatasetEntropy entropy = MeasureDatasetEntropy(test.vectors, {});
    EXPECT_EQ(entropy.as_is.ok(), test.effective_rank.empty());
    EXPECT_EQ(entropy.centered.ok(), test.ne_sum.empty());
  }
  EXPECT_EQ(MeasureRank(at::ones({3})).stable_rank.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(MeasureRank(Random(4, 1)).self_cluster.ok()) << "one dimension";
}

TEST(RankMetricsTest, ZeroVectorsAreLeftOutOfDirections) {
  const at::Tensor x = Random(6, 4);
  const RankMetrics with = MeasureRank(at::cat({x, at::zeros({2, 4}, at::kDouble)})), without = MeasureRank(x);
  EXPECT_EQ(with.dropped_rows, 2);
  EXPECT_EQ(without.dropped_rows, 0);
  EXPECT_NEAR(with.self_cluster.value(), without.self_cluster.value(), 1e-12);
  EXPECT_NEAR(with.anisotropy.value(), without.anisotropy.value(), 1e-12);
}

// Every metric without a group is that of the rows that are left: on both sides of the Gram matrix, with a mean that
// outweighs the rest, with zero vectors, where a group goes that alone differs, and where nothing is left.
TEST(GroupedVectorsTest, WithoutAGroupIsTheSetWithoutItsRows) {
  const at::Tensor x = Random(24, 7);
  const at::Tensor zeros = at::cat({x, at::zeros({3, 7}, at::kDouble)});
  at::Tensor alone = at::ones({12, 4}, at::kDouble);
  alone[3] += Random(1, 4)[0];
  for (const at::Tensor& set :
       {x, Random(9, 20), x + 1000, Random(9, 20) + 1000, zeros, zeros.t().contiguous(), alone, at::cat({x, 0 * x})}) {
    for (const int64_t groups : {2, 5, 7}) {
      const GroupedVectors vectors = GroupedVectors::Of(set, groups).value();
      for (int64_t group = 0; group < groups; ++group) {
        SCOPED_TRACE(absl::StrCat(set.size(0), " x ", set.size(1), ", without ", group, " of ", groups));
        std::vector<int64_t> kept;
        for (int64_t row = 0; row < set.size(0); ++row) {
          if (row % groups != group) kept.push_back(row);
        }
        ExpectSame(vectors.Without(group), GroupedVectors::Of(at::index_select(set, 0, at::tensor(kept)), 1)->All());
      }
    }
  }
}

TEST(GroupedVectorsTest, RefusesGroupsOfNone) {
  for (int64_t groups : {0, 6, -1}) {
    EXPECT_EQ(GroupedVectors::Of(Random(5, 2), groups).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(GroupedVectors::Of(at::ones({5}), 2).status().code(), absl::StatusCode::kInvalidArgument);
}

auto JackknifeOf(const at::Tensor& x, int64_t groups, const Cancelled& cancelled = nullptr) {
  const GroupedVectors vectors = GroupedVectors::Of(x, groups).value();
  const MetricsWithout metrics = [&](int64_t group) -> std::vector<absl::StatusOr<double>> {
    const RankMetrics ranks = MeasureRank(vectors.Without(group));
    return {ranks.effective_rank, ranks.ne_sum, ranks.anisotropy};
  };
  return JackknifeStandardErrors(groups, metrics, cancelled);
}

TEST(JackknifeTest, GoldenValues) {
  for (const nlohmann::json& golden : ScoringGoldens().at("datasets")) {
    const auto errors = JackknifeOf(ToTensor(golden.at("x")), golden.at("jackknife_groups").get<int64_t>());
    ASSERT_TRUE(errors.ok());
    const char* names[] = {"effective_rank", "ne_sum", "anisotropy"};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(errors->at(i).value(), golden.at("jackknife").at(names[i]).get<double>(), 1e-9) << names[i];
    }
  }
}

// Of a mean, with one row a group, it is the textbook's standard error exactly.
TEST(JackknifeTest, OfAMeanIsItsStandardError) {
  const at::Tensor x = Random(30, 1);
  const MetricsWithout mean = [&x](int64_t group) {
    const double of_others = (at::sum(x) - x[group][0]).item<double>() / 29;
    return std::vector<absl::StatusOr<double>>{of_others};
  };
  const auto errors = JackknifeStandardErrors(30, mean);
  EXPECT_NEAR(errors->at(0).value(), at::std(x).item<double>() / std::sqrt(30), 1e-12);
}

TEST(JackknifeTest, RefusesTooFewGroupsAndPassesReasonsOn) {
  EXPECT_EQ(JackknifeOf(Random(5, 2), 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(JackknifeOf(Random(5, 2), 5, [] { return true; }).status().code(), absl::StatusCode::kCancelled);
  const auto errors = JackknifeOf(at::ones({5, 2}, at::kDouble), 5);
  ASSERT_TRUE(errors.ok());
  EXPECT_NEAR(errors->at(0).value(), 0, 1e-12);
  EXPECT_EQ(errors->at(1).status().message(), "vectors that are all the same");
}

}  // namespace
}  // namespace midlayer
