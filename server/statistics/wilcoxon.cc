#include "server/statistics/wilcoxon.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "server/statistics/ranks.h"

namespace midlayer {
namespace {

using Alternative = WilcoxonOptions::Alternative;
using Method = WilcoxonOptions::Method;
using Zeros = WilcoxonOptions::Zeros;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMostPairsForAutoExact = 50;
constexpr size_t kMostPairsForAllSigns = 13;
constexpr size_t kMostPairsForExact = 500;

struct Ranked {
  size_t count = 0;           // of the differences that were ranked
  std::vector<double> ranks;  // of those that are not zero
  double plus = 0;            // sums of ranks, without zeros
  double minus = 0;
  double half_zeros = 0;  // added to both sides
  double mean = 0;        // of plus + half_zeros, if x and y are alike
  double deviation = 0;
  bool ties_or_zeros = false;
};

// The moments of the normal approximation.
void FillMoments(absl::Span<const double> magnitudes, double zeros, Zeros method, Ranked& ranked) {
  const double n = static_cast<double>(ranked.count);
  double variance = n * (n + 1) * (2 * n + 1);
  ranked.mean = n * (n + 1) / 4;
  double correction = 0;
  for (const size_t size : TieSizes(magnitudes)) {
    const double t = static_cast<double>(size);
    correction += t * t * t - t;
  }
  if (method == Zeros::kPratt) {
    ranked.mean -= zeros * (zeros + 1) / 4;
    variance -= zeros * (zeros + 1) * (2 * zeros + 1);
    correction -= zeros * zeros * zeros - zeros;  // zeros are no ties here
  }
  ranked.deviation = std::sqrt((variance - correction / 2) / 24);
}

Ranked Rank(absl::Span<const double> differences, Zeros method) {
  std::vector<double> kept, magnitudes;
  for (const double difference : differences) {
    if (difference == 0 && method == Zeros::kWilcox) continue;
    kept.push_back(difference);
    magnitudes.push_back(std::fabs(difference));
  }
  const std::vector<double> ranks = AverageRanks(magnitudes);
  Ranked ranked;
  ranked.count = kept.size();
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] != 0) ranked.ranks.push_back(ranks[i]);
    if (kept[i] > 0) ranked.plus += ranks[i];
    if (kept[i] < 0) ranked.minus += ranks[i];
    if (kept[i] == 0 && method == Zeros::kSplit) ranked.half_zeros += ranks[i] / 2;
  }
  const auto zeros = std::count(differences.begin(), differences.end(), 0.0);
  ranked.ties_or_zeros = zeros > 0 || !TieSizes(magnitudes).empty();
  FillMoments(magnitudes, static_cast<double>(zeros), method, ranked);
  return ranked;
}

// p of a value that may differ by side, where each rank counts or not with probability 1/2.
double SignPValue(absl::Span<const double> ranks, double at_most, double at_least, Alternative alternative) {
  // Average ranks are multiples of 1/2: places in the table are doubled ranks.
  std::vector<double> probabilities = {1.0};
  for (const double rank : ranks) {
    const size_t doubled = static_cast<size_t>(std::lround(2 * rank));
    probabilities.resize(probabilities.size() + doubled, 0.0);
    for (size_t i = probabilities.size(); i-- > 0;) {
      probabilities[i] = 0.5 * (probabilities[i] + (i >= doubled ? probabilities[i - doubled] : 0));
    }
  }
  const auto place = [&probabilities](double sum) {
    return probabilities.begin() + std::clamp<ptrdiff_t>(std::lround(2 * sum), 0, std::ssize(probabilities));
  };
  const double less = std::accumulate(probabilities.begin(), place(at_most + 0.5), 0.0);
  const double greater = std::accumulate(place(at_least), probabilities.end(), 0.0);
  switch (alternative) {
    case Alternative::kLess:
      return std::min(1.0, less);
    case Alternative::kGreater:
      return std::min(1.0, greater);
    case Alternative::kTwoSided:
      break;
  }
  return std::min(1.0, 2 * std::min(less, greater));
}

double ExactPValue(const Ranked& ranked, Alternative alternative) {
  std::vector<double> ranks(ranked.count);
  std::iota(ranks.begin(), ranks.end(), 1.0);
  const double plus = ranked.plus + ranked.half_zeros;
  return SignPValue(ranks, std::ceil(plus), std::floor(plus), alternative);
}

// Fills p and z.
void Asymptotic(const Ranked& ranked, const WilcoxonOptions& options, WilcoxonResult& result) {
  double z = (ranked.plus + ranked.half_zeros - ranked.mean) / ranked.deviation;
  if (options.continuity_correction) {
    double side = (z > 0) - (z < 0);
    if (options.alternative == Alternative::kGreater) side = 1;
    if (options.alternative == Alternative::kLess) side = -1;
    z -= side * 0.5 / ranked.deviation;
  }
  const double scaled = z / std::numbers::sqrt2;
  result.z = z;
  switch (options.alternative) {
    case Alternative::kLess:
      result.p_value = 0.5 * std::erfc(-scaled);
      return;
    case Alternative::kGreater:
      result.p_value = 0.5 * std::erfc(scaled);
      return;
    case Alternative::kTwoSided:
      result.p_value = std::erfc(std::fabs(scaled));
      result.z = -std::fabs(z);
      return;
  }
}

}  // namespace

WilcoxonResult WilcoxonSignedRank(absl::Span<const double> x, absl::Span<const double> y,
                                  const WilcoxonOptions& options) {
  WilcoxonResult result = {kNan, kNan, kNan};
  if (x.empty() || x.size() != y.size()) return result;
  std::vector<double> differences(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    differences[i] = x[i] - y[i];
    if (std::isnan(differences[i])) return result;
  }
  const Ranked ranked = Rank(differences, options.zeros);
  const double plus = ranked.plus + ranked.half_zeros, minus = ranked.minus + ranked.half_zeros;
  result.statistic = options.alternative == Alternative::kTwoSided ? std::min(plus, minus) : plus;

  const bool automatic = options.method == Method::kAuto;
  const bool exact = automatic ? x.size() <= kMostPairsForAutoExact && !ranked.ties_or_zeros
                               : options.method == Method::kExact && x.size() <= kMostPairsForExact;
  if (exact) {
    result.p_value = ExactPValue(ranked, options.alternative);
  } else if (automatic && x.size() <= kMostPairsForAllSigns) {
    result.p_value = SignPValue(ranked.ranks, ranked.plus, ranked.plus, options.alternative);
  } else {
    Asymptotic(ranked, options, result);
  }
  return result;
}

}  // namespace midlayer
