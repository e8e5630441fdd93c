#include "server/scoring/folds.h"

#include <cstddef>
#include <map>

#include "absl/strings/str_cat.h"
#include "server/base/random.h"

namespace midlayer {

absl::StatusOr<std::vector<int>> StratifiedFolds(absl::Span<const int64_t> labels, int folds, uint64_t seed) {
  if (folds < 2 || static_cast<size_t>(folds) > labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("folds: expected 2 to the number of examples (", labels.size(), "), found ", folds));
  }
  std::map<int64_t, std::vector<size_t>> members;
  for (size_t i = 0; i < labels.size(); ++i) members[labels[i]].push_back(i);
  Random random(seed);
  std::vector<int> fold_of(labels.size());
  int next = 0;
  for (auto& [label, indices] : members) {
    random.Shuffle(absl::MakeSpan(indices));
    for (const size_t index : indices) {
      fold_of[index] = next;
      next = (next + 1) % folds;
    }
  }
  return fold_of;
}

}  // namespace midlayer
