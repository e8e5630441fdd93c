#include <map>
#include <string>
#include <vector>

#include "server/statistics/correlation.h"
#include "server/statistics/distance_correlation.h"
#include "server/statistics/ranks.h"
#include "server/statistics/wilcoxon.h"
#include "tests/reference/golden.h"

namespace midlayer::reference {
namespace {

using nlohmann::json;

std::vector<double> Numbers(const json& values) {
  std::vector<double> numbers;
  for (const json& value : values) numbers.push_back(Number(value));
  return numbers;
}

void ExpectCorrelation(const Correlation& got, const json& expected, double tolerance, const std::string& what) {
  ExpectClose(got.value, expected.at("statistic"), tolerance, what);
  ExpectClose(got.p_value, expected.at("pvalue"), tolerance, what + " p");
}

void ExpectDistance(const DistanceStatistics& got, const json& expected, double tolerance) {
  ExpectClose(got.correlation, expected.at("distance_correlation"), tolerance, "distance correlation");
  ExpectClose(got.correlation_sqr, expected.at("distance_correlation_sqr"), tolerance, "its square");
  ExpectClose(got.unbiased_correlation_sqr, expected.at("u_distance_correlation_sqr"), tolerance, "unbiased");
}

void ExpectAllCorrelations(const std::vector<double>& x, const std::vector<double>& y, const json& expected,
                           double tolerance) {
  ExpectCorrelation(Spearman(x, y), expected.at("spearman"), tolerance, "Spearman");
  ExpectCorrelation(KendallTauB(x, y), expected.at("kendall_tau_b"), tolerance, "Kendall");
  ExpectCorrelation(Pearson(x, y), expected.at("pearson"), tolerance, "Pearson");
  ExpectDistance(DistanceCorrelation({x}, {y}), expected, tolerance);
}

void CheckCorrelation(const Golden& golden) {
  ExpectAllCorrelations(Numbers(golden.input().at("x")), Numbers(golden.input().at("y")), golden.expected(),
                        golden.tolerance());
}

void CheckDistanceCorrelation(const Golden& golden) {
  const auto flat = [](const json& rows) {
    std::vector<double> all;
    for (const json& row : rows) {
      const std::vector<double> numbers = Numbers(row);
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
  };
  const json &x = golden.input().at("X"), &y = golden.input().at("Y");
  const std::vector<double> flat_x = flat(x), flat_y = flat(y);
  const DistanceStatistics got = DistanceCorrelation({flat_x, x.at(0).size()}, {flat_y, y.at(0).size()});
  ExpectClose(got.covariance_sqr, golden.expected().at("distance_covariance_sqr"), golden.tolerance(), "covariance");
  ExpectDistance(got, golden.expected(), golden.tolerance());
}

// "wilcox|two-sided|auto|correction=False"
WilcoxonOptions ParseWilcoxonKey(const std::string& key) {
  using O = WilcoxonOptions;
  static const std::map<std::string, O::Zeros> zeros = {
      {"wilcox", O::Zeros::kWilcox}, {"pratt", O::Zeros::kPratt}, {"zsplit", O::Zeros::kSplit}};
  static const std::map<std::string, O::Alternative> alternatives = {
      {"two-sided", O::Alternative::kTwoSided}, {"greater", O::Alternative::kGreater}, {"less", O::Alternative::kLess}};
  static const std::map<std::string, O::Method> methods = {
      {"auto", O::Method::kAuto}, {"exact", O::Method::kExact}, {"asymptotic", O::Method::kAsymptotic}};
  const size_t first = key.find('|'), second = key.find('|', first + 1), third = key.find('|', second + 1);
  return {.zeros = zeros.at(key.substr(0, first)),
          .alternative = alternatives.at(key.substr(first + 1, second - first - 1)),
          .method = methods.at(key.substr(second + 1, third - second - 1)),
          .continuity_correction = key.substr(third + 1) == "correction=True"};
}

void CheckWilcoxon(const Golden& golden) {
  const std::vector<double> x = Numbers(golden.input().at("x")), y = Numbers(golden.input().at("y"));
  ASSERT_FALSE(golden.expected().empty());
  for (const auto& [key, expected] : golden.expected().items()) {
    const WilcoxonResult got = WilcoxonSignedRank(x, y, ParseWilcoxonKey(key));
    ExpectClose(got.statistic, expected.at("statistic"), golden.tolerance(), key);
    ExpectClose(got.p_value, expected.at("pvalue"), golden.tolerance(), key + " p");
    if (expected.contains("zstatistic")) {
      ExpectClose(got.z, expected.at("zstatistic"), golden.tolerance(), key + " z");
    }
  }
}

void CheckLayerCurves(const Golden& golden) {
  const std::vector<double> scores = Numbers(golden.input().at("mean_score_by_layer"));
  const int best = BestIndex(scores, Direction::kMax);
  EXPECT_EQ(best, golden.expected().at("best_layer").get<int>());
  ExpectClose(scores.at(best), golden.expected().at("best_score"), golden.tolerance(), "best score");
  ExpectClose(scores.back(), golden.expected().at("last_layer_score"), golden.tolerance(), "last score");
  for (const auto& [metric, expected] : golden.expected().at("by_metric").items()) {
    SCOPED_TRACE(metric);
    const std::vector<double> curve = Numbers(golden.input().at("metric_by_layer").at(metric));
    ExpectAllCorrelations(curve, scores, expected, golden.tolerance());
    const int lowest = BestIndex(curve, Direction::kMin), highest = BestIndex(curve, Direction::kMax);
    EXPECT_EQ(lowest, expected.at("argmin_layer").get<int>());
    EXPECT_EQ(highest, expected.at("argmax_layer").get<int>());
    ExpectClose(scores.at(lowest), expected.at("score_at_argmin"), golden.tolerance(), "score at the lowest");
    ExpectClose(scores.at(highest), expected.at("score_at_argmax"), golden.tolerance(), "score at the highest");
  }
}

}  // namespace

const std::map<std::string, Handler>& StatisticsHandlers() {
  static const std::map<std::string, Handler> handlers = {
      {"correlation", CheckCorrelation},
      {"distance_correlation", CheckDistanceCorrelation},
      {"layer_metric_vs_score", CheckLayerCurves},
      {"wilcoxon_signed_rank", CheckWilcoxon},
  };
  return handlers;
}

}  // namespace midlayer::reference
