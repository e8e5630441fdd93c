// Correlation coefficients of paired values with their p-values, by the rules of SciPy. Pure functions, safe from any
// thread.
#ifndef MIDLAYER_SERVER_STATISTICS_CORRELATION_H_
#define MIDLAYER_SERVER_STATISTICS_CORRELATION_H_

#include "absl/types/span.h"

namespace midlayer {

struct Correlation {
  double value;    // -1…1
  double p_value;  // two-sided, of the hypothesis that the two are independent
};

// All three: x and y of the same length. Both numbers are NaN where the coefficient is not defined: fewer than 2 pairs,
// different lengths, a constant input, a NaN.

// Pearson's product-moment coefficient; p from Student's t with n - 2 degrees of freedom, which is the distribution of
// r for independent normal values. p = 1 for n = 2. NaN for infinite values.
Correlation Pearson(absl::Span<const double> x, absl::Span<const double> y);

// Spearman's rho: Pearson's coefficient of the average ranks; p from the t approximation (NaN for n = 2).
Correlation Spearman(absl::Span<const double> x, absl::Span<const double> y);

// Kendall's tau-b (Kendall 1945). p is exact without ties up to 33 pairs, or with at most one pair in the rarer order;
// otherwise from the normal approximation with the variance corrected for ties (Kendall, Rank Correlation Methods).
// Takes O(n^2) time.
Correlation KendallTauB(absl::Span<const double> x, absl::Span<const double> y);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_CORRELATION_H_
