// Wilcoxon's signed-rank test of paired values, by the rules of SciPy 1.17. A pure function, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_WILCOXON_H_
#define MIDLAYER_SERVER_STATISTICS_WILCOXON_H_

#include "absl/types/span.h"

namespace midlayer {

struct WilcoxonOptions {
  // What becomes of pairs without a difference: they are left out; they are ranked, and their ranks then left out
  // (Pratt 1959, with the normal approximation of Cureton 1967); or half of their ranks count for each side.
  enum class Zeros { kWilcox, kPratt, kSplit };
  // kGreater: x tends to be larger than y.
  enum class Alternative { kTwoSided, kGreater, kLess };
  // kExact: the distribution of the statistic for ranks 1…n. It is not exact with ties or zeros (the statistic is then
  // rounded to the side where p is larger; p means nothing where most differences are zero). For more than 500 pairs as
  // kAsymptotic.
  // kAsymptotic: the normal approximation, corrected for ties.
  // kAuto: with more than 50 pairs kAsymptotic; fewer without ties and zeros kExact; up to 13 pairs with ties or zeros
  // all 2^n signs of the ranks that there are; otherwise kAsymptotic.
  enum class Method { kAuto, kExact, kAsymptotic };

  Zeros zeros = Zeros::kWilcox;
  Alternative alternative = Alternative::kTwoSided;
  Method method = Method::kAuto;
  bool continuity_correction = false;  // of the normal approximation, by half a rank
};

struct WilcoxonResult {
  double statistic;  // the sum of the ranks of positive differences x - y; two-sided: or of negative ones, if smaller
  double p_value;
  double z;  // of the normal approximation, two-sided: never positive; NaN where p comes from elsewhere
};

// All NaN if there are no pairs, if x and y are not as many, or where a difference is NaN. Where every difference is
// zero, the normal approximation gives NaN for p (but kSplit 1).
WilcoxonResult WilcoxonSignedRank(absl::Span<const double> x, absl::Span<const double> y,
                                  const WilcoxonOptions& options = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_WILCOXON_H_
