// Stratified folds.
#include "server/scoring/folds.h"

#include <algorithm>
#include <map>
#include <set>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

TEST(StratifiedFoldsTest, BalanceClassesAndSizes) {
  std::vector<int64_t> labels;
  for (int i = 0; i < 103; ++i) labels.push_back(i % 7 == 0 ? 42 : i % 3 == 0 ? -1 : 5);
  for (const int folds : {2, 5, 10, 103}) {
    const std::vector<int> fold_of = StratifiedFolds(labels, folds, 9).value();
    ASSERT_EQ(fold_of.size(), labels.size());
    std::map<int64_t, std::vector<int>> counts;  // of a class, by fold
    std::vector<int> sizes(static_cast<size_t>(folds));
    for (size_t i = 0; i < labels.size(); ++i) {
      ASSERT_TRUE(fold_of[i] >= 0 && fold_of[i] < folds) << fold_of[i];
      counts[labels[i]].resize(static_cast<size_t>(folds));
      ++counts[labels[i]][static_cast<size_t>(fold_of[i])];
      ++sizes[static_cast<size_t>(fold_of[i])];
    }
    const auto spread = [](const std::vector<int>& values) {
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      return *high - *low;
    };
    EXPECT_LE(spread(sizes), 1) << folds;
    for (const auto& [label, of_folds] : counts) EXPECT_LE(spread(of_folds), 1) << folds << " folds, class " << label;
  }
}

TEST(StratifiedFoldsTest, TheSeedDecides) {
  const std::vector<int64_t> labels = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  // Pinned: the same on every platform.
  EXPECT_EQ(StratifiedFolds(labels, 3, 1).value(), (std::vector<int>{2, 0, 2, 1, 0, 1, 1, 0, 2, 2, 0, 1}));
  std::set<std::vector<int>> seen;
  for (uint64_t seed = 0; seed < 10; ++seed) seen.insert(StratifiedFolds(labels, 3, seed).value());
  EXPECT_GT(seen.size(), 5u);
}

TEST(StratifiedFoldsTest, Refuses) {
  const std::vector<int64_t> labels = {0, 1, 0};
  for (const int folds : {-1, 0, 1, 4}) {
    EXPECT_EQ(StratifiedFolds(labels, folds, 0).status().code(), absl::StatusCode::kInvalidArgument) << folds;
  }
  EXPECT_EQ(StratifiedFolds({}, 2, 0).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace midlayer
