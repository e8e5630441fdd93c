#include "server/scoring/knn.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

// The id that most of `neighbours` have, nearest first; of equals the one that comes first.
int64_t Vote(absl::Span<const size_t> neighbours, const ClassIds& classes) {
  std::vector<int> votes(classes.labels.size());
  for (const size_t neighbour : neighbours) ++votes[static_cast<size_t>(classes.ids[neighbour])];
  int64_t best = classes.ids[neighbours.front()];
  for (const size_t neighbour : neighbours) {
    const int64_t id = classes.ids[neighbour];
    if (votes[static_cast<size_t>(id)] > votes[static_cast<size_t>(best)]) best = id;
  }
  return best;
}

// The k examples of highest similarity, `self` apart, nearest first. `order` is scratch of N.
absl::Span<const size_t> Nearest(const float* similarities, size_t self, size_t k, std::vector<size_t>* order) {
  std::iota(order->begin(), order->end(), size_t{0});
  std::swap((*order)[self], order->back());
  const auto nearer = [similarities](size_t a, size_t b) {
    return similarities[a] != similarities[b] ? similarities[a] > similarities[b] : a < b;
  };
  std::partial_sort(order->begin(), order->begin() + static_cast<std::ptrdiff_t>(k), order->end() - 1, nearer);
  return absl::MakeConstSpan(*order).first(k);
}

}  // namespace

absl::StatusOr<KnnScores> KnnAccuracy(const at::Tensor& x_ND, absl::Span<const int64_t> labels, int k,
                                      const Cancelled& cancelled) {
  MIDLAYER_RETURN_IF_ERROR(CheckLabelled(x_ND, labels));
  if (k < 1 || static_cast<size_t>(k) >= labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("k: expected 1 to ", labels.size() - 1, " among ", labels.size(), " examples, found ", k));
  }
  const ClassIds classes = IndexLabels(labels);
  const at::Tensor unit_ND = UnitRows(x_ND);
  const auto examples = static_cast<int64_t>(labels.size());
  std::vector<size_t> order(labels.size());
  KnnScores scores;
  const auto visit = [&](int64_t first, int64_t count) {
    const at::Tensor block_BN = ToHost(unit_ND.narrow(0, first, count).matmul(unit_ND.t()));
    for (int64_t row = 0; row < count; ++row) {
      const auto self = static_cast<size_t>(first + row);
      const float* similarities = block_BN.const_data_ptr<float>() + row * examples;
      const int64_t id = Vote(Nearest(similarities, self, static_cast<size_t>(k), &order), classes);
      scores.predictions.push_back(classes.labels[static_cast<size_t>(id)]);
      scores.correct.push_back(id == classes.ids[self] ? 1 : 0);
    }
  };
  MIDLAYER_RETURN_IF_ERROR(ForEachBlock(examples, BlockRows(examples), cancelled, visit));
  scores.accuracy = Mean(scores.correct);
  return scores;
}

}  // namespace midlayer
