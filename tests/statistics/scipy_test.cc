// Against what SciPy, dcor and scikit-learn compute: tests/golden/statistics/generate.py.
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/statistics/correlation.h"
#include "server/statistics/distance_correlation.h"
#include "server/statistics/retrieval.h"
#include "server/statistics/wilcoxon.h"

namespace midlayer {
namespace {

using nlohmann::json;

const json& Cases(const char* key) {
  static const json golden = [] {
    std::ifstream stream(std::string(MIDLAYER_SOURCE_DIR) + "/tests/golden/statistics/statistics.json");
    return json::parse(stream);
  }();
  return golden.at(key);
}

double Number(const json& value) {
  if (value.is_number()) return value.get<double>();
  return value == "NaN" ? std::nan("") : (value == "Infinity" ? 1 : -1) * std::numeric_limits<double>::infinity();
}

// Relative, for p-values are small; and absolute where SciPy itself takes them from 1 less something.
void ExpectNumber(double got, const json& expected, const std::string& what) {
  const double want = Number(expected);
  if (std::isnan(want) || std::isinf(want)) {
    EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : got == want) << what << ": " << got << ", expected " << want;
  } else {
    EXPECT_NEAR(got, want, 1e-10 * std::fabs(want) + 1e-15) << what;
  }
}

void ExpectCorrelation(const Correlation& got, const json& expected, const std::string& what) {
  ExpectNumber(got.value, expected.at(0), what);
  ExpectNumber(got.p_value, expected.at(1), what + " p");
}

void ExpectDistance(const DistanceStatistics& got, const json& expected) {
  ExpectNumber(got.covariance_sqr, expected.at(0), "distance covariance");
  ExpectNumber(got.correlation, expected.at(1), "distance correlation");
  ExpectNumber(got.correlation_sqr, expected.at(2), "its square");
  ExpectNumber(got.unbiased_correlation_sqr, expected.at(3), "unbiased");
}

TEST(ScipyTest, Correlations) {
  for (const json& test : Cases("correlations")) {
    SCOPED_TRACE(test.at("name").get<std::string>());
    const auto x = test.at("x").get<std::vector<double>>(), y = test.at("y").get<std::vector<double>>();
    ExpectCorrelation(Spearman(x, y), test.at("spearmanr"), "Spearman");
    ExpectCorrelation(KendallTauB(x, y), test.at("kendalltau"), "Kendall");
    ExpectCorrelation(Pearson(x, y), test.at("pearsonr"), "Pearson");
    if (test.contains("distance")) ExpectDistance(DistanceCorrelation({x}, {y}), test.at("distance"));
  }
}

TEST(ScipyTest, DistanceCorrelationOfPoints) {
  const auto flat = [](const json& rows) {
    std::vector<double> all;
    for (const json& row : rows) all.insert(all.end(), row.begin(), row.end());
    return all;
  };
  for (const json& test : Cases("points")) {
    const std::vector<double> x = flat(test.at("x")), y = flat(test.at("y"));
    ExpectDistance(DistanceCorrelation({x, test.at("x").at(0).size()}, {y, test.at("y").at(0).size()}),
                   test.at("distance"));
  }
}

// In the order of generate.py.
std::vector<WilcoxonOptions> AllWilcoxonOptions() {
  using O = WilcoxonOptions;
  std::vector<O> all;
  for (const auto zeros : {O::Zeros::kWilcox, O::Zeros::kPratt, O::Zeros::kSplit}) {
    for (const auto alternative : {O::Alternative::kTwoSided, O::Alternative::kGreater, O::Alternative::kLess}) {
      for (const auto method : {O::Method::kAuto, O::Method::kExact, O::Method::kAsymptotic}) {
        for (const bool correction : {false, true}) all.push_back({zeros, alternative, method, correction});
      }
    }
  }
  return all;
}

TEST(ScipyTest, Wilcoxon) {
  const std::vector<WilcoxonOptions> options = AllWilcoxonOptions();
  for (const json& test : Cases("wilcoxon")) {
    const auto x = test.at("differences").get<std::vector<double>>();
    const std::vector<double> y(x.size(), 0.0);
    const json& results = test.at("results");
    ASSERT_EQ(results.size(), options.size());
    for (size_t i = 0; i < options.size(); ++i) {
      SCOPED_TRACE(test.at("name").get<std::string>() + ", option set " + std::to_string(i));
      const WilcoxonResult got = WilcoxonSignedRank(x, y, options[i]);
      ExpectNumber(got.statistic, results[i].at(0), "statistic");
      ExpectNumber(got.p_value, results[i].at(1), "p");
      if (results[i].size() > 2) ExpectNumber(got.z, results[i].at(2), "z");
    }
  }
}

TEST(ScipyTest, Ndcg) {
  for (const json& test : Cases("ndcg")) {
    std::vector<bool> relevant;
    for (const json& value : test.at("relevance")) relevant.push_back(value == 1);
    ExpectNumber(NdcgAt(test.at("k"), RelevantRanks(relevant)), test.at("ndcg"), test.dump());
  }
}

}  // namespace
}  // namespace midlayer
