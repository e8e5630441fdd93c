#include "server/statistics/correlation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "boost/math/special_functions/beta.hpp"
#include "server/statistics/ranks.h"

namespace midlayer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr Correlation kUndefined = {kNan, kNan};
constexpr int64_t kMostPairsExactly = 33;

bool IsDefined(absl::Span<const double> x, absl::Span<const double> y) {
  const auto varies = [](absl::Span<const double> values) {
    return std::any_of(values.begin(), values.end(), [values](double value) { return value != values[0]; });
  };
  const auto is_nan = [](double value) { return std::isnan(value); };
  return x.size() == y.size() && varies(x) && varies(y) && std::none_of(x.begin(), x.end(), is_nan) &&
         std::none_of(y.begin(), y.end(), is_nan);
}

// `values` less their mean, divided by the largest magnitude left, so that no square overflows or underflows.
std::vector<double> Centred(absl::Span<const double> values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double largest = 0;
  std::vector<double> centred(values.begin(), values.end());
  for (double& value : centred) {
    value -= mean;
    largest = std::max(largest, std::fabs(value));
  }
  for (double& value : centred) value /= largest;
  return centred;
}

double Coefficient(absl::Span<const double> x, absl::Span<const double> y) {
  const std::vector<double> a = Centred(x), b = Centred(y);
  const double aa = std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
  const double bb = std::inner_product(b.begin(), b.end(), b.begin(), 0.0);
  const double ab = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  // Not std::clamp, which would turn NaN into a bound.
  const double r = ab / std::sqrt(aa * bb);
  return r > 1 ? 1 : r < -1 ? -1 : r;
}

// P(|t| >= |r| sqrt((n-2) / (1-r^2))) of Student's t with n - 2 > 0 degrees of freedom, as the incomplete beta function
// of 1 - r^2, which loses no digits where r is near 1.
double PValue(double r, size_t n) {
  if (std::isnan(r)) return kNan;
  using NoThrow =
      boost::math::policies::policy<boost::math::policies::domain_error<boost::math::policies::ignore_error>,
                                    boost::math::policies::overflow_error<boost::math::policies::ignore_error>,
                                    boost::math::policies::evaluation_error<boost::math::policies::ignore_error>>;
  return boost::math::ibeta(0.5 * static_cast<double>(n - 2), 0.5, (1 - r) * (1 + r), NoThrow());
}

// Twice the probability that a random order of n values has at most `inversions` inversions, at most 1. The number of
// inversions of j values is that of the first j - 1 plus 0…j-1, each as likely.
double ExactKendallPValue(int64_t n, int64_t inversions) {
  std::vector<double> probabilities(inversions + 1, 0.0);
  probabilities[0] = 1;
  for (int64_t j = 2; j <= n; ++j) {
    // Sums of positive terms, from the top down so that only values of j - 1 are read: no cancellation.
    for (int64_t k = inversions; k >= 0; --k) {
      const auto end = probabilities.begin() + k + 1;
      probabilities[k] = std::accumulate(end - std::min(k + 1, j), end, 0.0) / static_cast<double>(j);
    }
  }
  return std::min(1.0, 2 * std::accumulate(probabilities.begin(), probabilities.end(), 0.0));
}

// Sums over the groups of tied values that the variance of Kendall's score takes.
struct TieSums {
  double pairs = 0;     // t (t-1) / 2
  double triples = 0;   // t (t-1) (t-2)
  double variance = 0;  // t (t-1) (2t+5)
};

TieSums SumTies(absl::Span<const double> values) {
  TieSums sums;
  for (const size_t size : TieSizes(values)) {
    const double t = static_cast<double>(size);
    sums.pairs += t * (t - 1) / 2;
    sums.triples += t * (t - 1) * (t - 2);
    sums.variance += t * (t - 1) * (2 * t + 5);
  }
  return sums;
}

// Concordant less discordant pairs.
int64_t KendallScore(absl::Span<const double> x, absl::Span<const double> y) {
  const auto sign = [](double a, double b) { return (a > b) - (a < b); };
  int64_t score = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) score += sign(x[i], x[j]) * sign(y[i], y[j]);
  }
  return score;
}

}  // namespace

Correlation Pearson(absl::Span<const double> x, absl::Span<const double> y) {
  if (!IsDefined(x, y)) return kUndefined;
  const double r = Coefficient(x, y);
  if (x.size() == 2) return {std::round(r), std::isnan(r) ? kNan : 1.0};
  return {r, PValue(r, x.size())};
}

Correlation Spearman(absl::Span<const double> x, absl::Span<const double> y) {
  if (!IsDefined(x, y)) return kUndefined;
  const double rho = Coefficient(AverageRanks(x), AverageRanks(y));
  return {rho, x.size() == 2 ? kNan : PValue(rho, x.size())};
}

Correlation KendallTauB(absl::Span<const double> x, absl::Span<const double> y) {
  if (!IsDefined(x, y)) return kUndefined;
  const int64_t n = static_cast<int64_t>(x.size()), pairs = n * (n - 1) / 2;
  const int64_t score = KendallScore(x, y);
  const TieSums ties_x = SumTies(x), ties_y = SumTies(y);
  const double all = static_cast<double>(pairs);
  const double tau = static_cast<double>(score) / std::sqrt((all - ties_x.pairs) * (all - ties_y.pairs));
  Correlation result = {std::clamp(tau, -1.0, 1.0), kNan};
  const int64_t rarer = (pairs - std::abs(score)) / 2;
  if (ties_x.pairs == 0 && ties_y.pairs == 0 && (n <= kMostPairsExactly || rarer <= 1)) {
    result.p_value = ExactKendallPValue(n, rarer);
    return result;
  }
  const double m = 2 * all;
  // n > 2: two pairs with a tie are constant.
  const double variance = (m * static_cast<double>(2 * n + 5) - ties_x.variance - ties_y.variance) / 18 +
                          2 * ties_x.pairs * ties_y.pairs / m +
                          ties_x.triples * ties_y.triples / (9 * m * static_cast<double>(n - 2));
  result.p_value = std::erfc(std::fabs(static_cast<double>(score)) / std::sqrt(variance) / std::numbers::sqrt2);
  return result;
}

}  // namespace midlayer
