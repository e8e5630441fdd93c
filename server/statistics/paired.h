// Two layers measured on the same examples. A pure function, safe from any thread.
#ifndef MIDLAYER_SERVER_STATISTICS_PAIRED_H_
#define MIDLAYER_SERVER_STATISTICS_PAIRED_H_

#include <vector>

#include "absl/types/span.h"

namespace midlayer {

// a - b, example by example; examples where it is NaN are left out. Both have the same length (what is beyond the
// shorter one is ignored).
std::vector<double> PairedDifferences(absl::Span<const double> a, absl::Span<const double> b);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_PAIRED_H_
