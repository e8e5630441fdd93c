// Measures of one query's ranking with binary relevance. Pure functions, safe from any thread.
//
// `ranks`: for each relevant document its place in the ranking, 1 is first; 0 or less: not found. Different documents
// have different places. Every measure is in 0…1, higher is better, and NaN where nothing is relevant.
#ifndef MIDLAYER_SERVER_STATISTICS_RETRIEVAL_H_
#define MIDLAYER_SERVER_STATISTICS_RETRIEVAL_H_

#include <vector>

#include "absl/types/span.h"

namespace midlayer {

// The places of what is relevant, from the relevance of the documents in ranked order.
std::vector<int> RelevantRanks(const std::vector<bool>& relevant_in_order);

// Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002): the sum of 1 / log2(1 + rank) over relevant
// documents among the first k, divided by that of the best ranking. NaN if k < 1.
double NdcgAt(int k, absl::Span<const int> ranks);

// The share of the relevant documents that are among the first k.
double RecallAt(int k, absl::Span<const int> ranks);

// 1 / place of the first relevant document; 0 if none was found.
double ReciprocalRank(absl::Span<const int> ranks);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_STATISTICS_RETRIEVAL_H_
