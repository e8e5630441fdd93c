#include "server/scoring/retrieval.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/vectors.h"
#include "server/statistics/retrieval.h"

namespace midlayer {
namespace {

constexpr int kDepth = 10;

using Indices = std::vector<int64_t>;

// The rank of passage `index` for a query with these similarities.
int RankOf(absl::Span<const float> similarities, int64_t index) {
  const auto at = static_cast<size_t>(index);
  const float own = similarities[at];
  const auto before = std::count_if(similarities.begin(), similarities.end(), [own](float s) { return s > own; });
  const auto equal = std::count(similarities.begin(), similarities.begin() + index, own);
  return static_cast<int>(1 + before + equal);
}

// The ranks of the relevant passages of each query.
absl::StatusOr<std::vector<std::vector<int>>> Ranks(const at::Tensor& queries_QD, const at::Tensor& passages_PD,
                                                    absl::Span<const Indices> relevant, const Cancelled& cancelled) {
  const at::Tensor unit_QD = UnitRows(queries_QD), unit_PD = UnitRows(passages_PD);
  const int64_t passages = unit_PD.size(0);
  std::vector<std::vector<int>> ranks;
  const auto visit = [&](int64_t first, int64_t count) {
    const at::Tensor block_BP = ToHost(unit_QD.narrow(0, first, count).matmul(unit_PD.t()));
    for (int64_t row = 0; row < count; ++row) {
      const absl::Span<const float> similarities(block_BP.const_data_ptr<float>() + row * passages,
                                                 static_cast<size_t>(passages));
      std::vector<int>& of_query = ranks.emplace_back();
      for (const int64_t index : relevant[static_cast<size_t>(first + row)]) {
        of_query.push_back(RankOf(similarities, index));
      }
    }
  };
  MIDLAYER_RETURN_IF_ERROR(ForEachBlock(unit_QD.size(0), BlockRows(passages), cancelled, visit));
  return ranks;
}

absl::Status CheckBoth(const at::Tensor& queries_QD, const at::Tensor& passages_PD) {
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(queries_QD, "queries"));
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(passages_PD, "passages"));
  if (queries_QD.size(1) == passages_PD.size(1)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("passages: expected ", queries_QD.size(1),
                                                 " dimensions as the queries have, found ", passages_PD.size(1)));
}

absl::Status CheckRelevant(absl::Span<const Indices> relevant, int64_t queries, int64_t passages) {
  if (static_cast<int64_t>(relevant.size()) != queries) {
    return absl::InvalidArgumentError(
        absl::StrCat("relevant: expected one list for each of ", queries, " queries, found ", relevant.size()));
  }
  for (size_t query = 0; query < relevant.size(); ++query) {
    const auto refuse = [query](const auto&... what) {
      return absl::InvalidArgumentError(absl::StrCat("relevant[", query, "]: ", what...));
    };
    Indices indices = relevant[query];
    if (indices.empty()) return refuse("expected at least one passage, found none");
    std::sort(indices.begin(), indices.end());
    if (indices.front() < 0 || indices.back() >= passages) {
      return refuse("expected passages 0 to ", passages - 1, ", found ",
                    indices.front() < 0 ? indices.front() : indices.back());
    }
    const auto twice = std::adjacent_find(indices.begin(), indices.end());
    if (twice != indices.end()) return refuse("expected each passage once, found ", *twice, " twice");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RetrievalScores> ScoreRetrieval(const at::Tensor& queries_QD, const at::Tensor& passages_PD,
                                               absl::Span<const std::vector<int64_t>> relevant,
                                               const Cancelled& cancelled) {
  MIDLAYER_RETURN_IF_ERROR(CheckBoth(queries_QD, passages_PD));
  MIDLAYER_RETURN_IF_ERROR(CheckRelevant(relevant, queries_QD.size(0), passages_PD.size(0)));
  MIDLAYER_ASSIGN_OR_RETURN(const auto ranks_of_queries, Ranks(queries_QD, passages_PD, relevant, cancelled));
  RetrievalScores scores;
  for (const std::vector<int>& ranks : ranks_of_queries) {
    scores.ndcg_at_10.push_back(NdcgAt(kDepth, ranks));
    scores.recall_at_10.push_back(RecallAt(kDepth, ranks));
    scores.reciprocal_rank.push_back(ReciprocalRank(ranks));
  }
  return scores;
}

absl::StatusOr<SelfRetrievalScores> ScoreSelfRetrieval(const at::Tensor& first_ND, const at::Tensor& second_ND,
                                                       const Cancelled& cancelled) {
  MIDLAYER_RETURN_IF_ERROR(CheckPairs(first_ND, second_ND));
  const auto texts = static_cast<size_t>(first_ND.size(0));
  std::vector<Indices> itself(texts);
  for (size_t i = 0; i < texts; ++i) itself[i] = {static_cast<int64_t>(i)};
  MIDLAYER_ASSIGN_OR_RETURN(const auto forth, Ranks(first_ND, second_ND, itself, cancelled));
  MIDLAYER_ASSIGN_OR_RETURN(const auto back, Ranks(second_ND, first_ND, itself, cancelled));
  SelfRetrievalScores scores;
  for (size_t i = 0; i < texts; ++i) {
    scores.reciprocal_rank.push_back((ReciprocalRank(forth[i]) + ReciprocalRank(back[i])) / 2);
    scores.hit_at_1.push_back((RecallAt(1, forth[i]) + RecallAt(1, back[i])) / 2);
  }
  return scores;
}

}  // namespace midlayer
