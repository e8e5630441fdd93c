// Long work ends where it is told to, in its middle too.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "server/scoring/dime.h"
#include "server/scoring/infonce.h"
#include "server/scoring/knn.h"
#include "server/scoring/linear_probe.h"
#include "server/scoring/retrieval.h"
#include "server/scoring/silhouette.h"
#include "tests/scoring/scoring_data.h"

namespace midlayer {
namespace {

TEST(CancelledTest, EndsEveryMetricThatTakesLong) {
  constexpr int64_t kTexts = 3000;  // more than a block and than a tile
  const at::Tensor x = Random(kTexts, 4), few = Random(40, 4);
  std::vector<int64_t> labels;
  std::vector<int> folds;
  std::vector<std::vector<int64_t>> relevant;
  for (int64_t i = 0; i < kTexts; ++i) {
    labels.push_back(i % 3);
    folds.push_back(static_cast<int>(i % 2));
    relevant.push_back({i});
  }
  std::vector<int64_t> identity(40);
  std::iota(identity.begin(), identity.end(), 0);
  const std::vector<std::vector<int64_t>> permutations(3, identity);
  const struct {
    std::string what;
    std::function<absl::Status(const Cancelled&)> work;
  } cases[] = {
      {"probe", [&](const Cancelled& c) { return CrossValidate(x, labels, folds, {.cancelled = c}).status(); }},
      {"k-NN", [&](const Cancelled& c) { return KnnAccuracy(x, labels, 5, c).status(); }},
      {"silhouette", [&](const Cancelled& c) { return Silhouette(x, labels, Distance::kEuclidean, c).status(); }},
      {"retrieval", [&](const Cancelled& c) { return ScoreRetrieval(x, x, relevant, c).status(); }},
      {"self-retrieval", [&](const Cancelled& c) { return ScoreSelfRetrieval(x, x, c).status(); }},
      {"InfoNCE", [&](const Cancelled& c) { return MeasureInfoNce(x, x, {.cancelled = c}).status(); }},
      {"DiME", [&](const Cancelled& c) { return MeasureDime(few, few, permutations, {.cancelled = c}).status(); }},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    EXPECT_TRUE(test.work(nullptr).ok());
    for (const int last : {1, 2, 3}) {
      std::atomic<int> asked = 0;
      EXPECT_EQ(test.work([&] { return ++asked >= last; }).code(), absl::StatusCode::kCancelled);
      EXPECT_LT(asked, last + at::get_num_threads()) << "ended late";
    }
  }
}

}  // namespace
}  // namespace midlayer
