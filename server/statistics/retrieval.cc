#include "server/statistics/retrieval.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace midlayer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double Gain(int rank) { return 1 / std::log2(1.0 + rank); }

}  // namespace

std::vector<int> RelevantRanks(const std::vector<bool>& relevant_in_order) {
  std::vector<int> ranks;
  for (size_t i = 0; i < relevant_in_order.size(); ++i) {
    if (relevant_in_order[i]) ranks.push_back(static_cast<int>(i) + 1);
  }
  return ranks;
}

double NdcgAt(int k, absl::Span<const int> ranks) {
  if (ranks.empty() || k < 1) return kNan;
  double gained = 0, best = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] >= 1 && ranks[i] <= k) gained += Gain(ranks[i]);
    if (i < static_cast<size_t>(k)) best += Gain(static_cast<int>(i) + 1);
  }
  return gained / best;
}

double RecallAt(int k, absl::Span<const int> ranks) {
  if (ranks.empty()) return kNan;
  const auto found = std::count_if(ranks.begin(), ranks.end(), [k](int rank) { return rank >= 1 && rank <= k; });
  return static_cast<double>(found) / static_cast<double>(ranks.size());
}

double ReciprocalRank(absl::Span<const int> ranks) {
  if (ranks.empty()) return kNan;
  int first = 0;
  for (const int rank : ranks) {
    if (rank >= 1 && (first == 0 || rank < first)) first = rank;
  }
  return first == 0 ? 0 : 1.0 / first;
}

}  // namespace midlayer
