// Parts of a labelled data set for cross-validation. No torch. Thread-safe.
#ifndef MIDLAYER_SERVER_SCORING_FOLDS_H_
#define MIDLAYER_SERVER_SCORING_FOLDS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace midlayer {

// The fold, 0…folds-1, of every example, the same for the same seed everywhere. Stratified: the examples of a class, in
// random order, are dealt to the folds in turn, and the next class goes on where it ended, so the counts of a class
// differ by at most one between folds, and so do the sizes of the folds.
// InvalidArgument: folds not in 2…N.
absl::StatusOr<std::vector<int>> StratifiedFolds(absl::Span<const int64_t> labels, int folds, uint64_t seed);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_FOLDS_H_
