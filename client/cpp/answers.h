// From the messages of the wire to results.
#ifndef MIDLAYER_CLIENT_CPP_ANSWERS_H_
#define MIDLAYER_CLIENT_CPP_ANSWERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "midlayer/embedding.h"
#include "midlayer/v1/embedding.pb.h"

namespace midlayer::internal {

// The result for `texts` texts, which begin at place `first` of the input. INTERNAL where the answer is not whole.
absl::StatusOr<Embeddings> ToEmbeddings(const v1::EmbedResponse& answer, size_t texts, size_t first);

// Appends the rows of `next` to `whole`, which is `next` itself where it had none. ABORTED where the two were not made
// alike: a selection was promoted meanwhile.
absl::Status Append(Embeddings next, Embeddings& whole);

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_ANSWERS_H_
