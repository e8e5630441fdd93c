// From the states of a text's tokens to one vector.
#ifndef MIDLAYER_SERVER_ENGINE_POOLING_H_
#define MIDLAYER_SERVER_ENGINE_POOLING_H_

#include <ATen/core/Tensor.h>

#include "server/models/description.h"

namespace midlayer {

// states: (T, D) of one text, T ≥ 1. Tokens before `begin` (a prompt that is not pooled; 0 ≤ begin < T) are left out,
// but count for the positions of kWeightedMean, as in sentence-transformers. Returns (D). Not for trained poolings.
at::Tensor Pool(const at::Tensor& states_TD, int64_t begin, Pooling pooling);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_POOLING_H_
