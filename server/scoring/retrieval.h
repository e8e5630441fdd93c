// Finding passages by cosine. Thread-safe functions.
//
// Ranks count from 1: a passage comes after those of higher cosine, and of equal cosine after those with a smaller
// index. Cosines are computed in float64 and compared in float32, so that equal vectors tie. A zero vector has cosine 0
// with all. Time O(Q P D), scratch O((Q + P) D) and one block of rows; CANCELLED before the block after `cancelled`
// says so.
//
// Dimensions: Q queries, P passages, N texts, D of a vector.
#ifndef MIDLAYER_SERVER_SCORING_RETRIEVAL_H_
#define MIDLAYER_SERVER_SCORING_RETRIEVAL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"

namespace midlayer {

// One value a query.
struct RetrievalScores {
  std::vector<double> ndcg_at_10;       // Järvelin and Kekäläinen (2002) with gains 0 and 1, discount log2(1 + rank)
  std::vector<double> recall_at_10;     // the part of its relevant passages that rank 10 or better
  std::vector<double> reciprocal_rank;  // of its best relevant passage, whatever the rank
};

// relevant: the indices of the passages that each query should find, in any order. queries: (Q, D), passages: (P, D),
// float32 or float64. InvalidArgument: vectors that CheckVectors refuses, different D, `relevant` of another number
// than Q, a query without a relevant passage, an index that is not in 0…P-1 or comes twice.
absl::StatusOr<RetrievalScores> ScoreRetrieval(const at::Tensor& queries_QD, const at::Tensor& passages_PD,
                                               absl::Span<const std::vector<int64_t>> relevant,
                                               const Cancelled& cancelled = nullptr);

// One value a text, the mean of both ways: the second half found by the first among all second halves, and the first by
// the second.
struct SelfRetrievalScores {
  std::vector<double> reciprocal_rank;
  std::vector<double> hit_at_1;  // 0, 0.5 or 1
};

// first, second: (N, D), row i of both from text i. InvalidArgument: vectors that CheckVectors refuses, different
// shapes.
absl::StatusOr<SelfRetrievalScores> ScoreSelfRetrieval(const at::Tensor& first_ND, const at::Tensor& second_ND,
                                                       const Cancelled& cancelled = nullptr);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_RETRIEVAL_H_
