// Rotary position embedding of packed tokens. Thread-safe; exceptions of libtorch pass through.
//
// Dimensions: P packed tokens, N heads, H head size, R = dims / 2 pairs of a head that are turned.
#ifndef MIDLAYER_SERVER_NN_ROPE_H_
#define MIDLAYER_SERVER_NN_ROPE_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "server/nn/rope_spec.h"

namespace midlayer {

// The angle by which each pair is turned from one token of a text to the next, R of them, for a text of `tokens`
// tokens, which matters to kDynamic alone. Formulas as in transformers (modeling_rope_utils.py): kDynamic after bloc97
// and emozilla, kYarn after Peng et al. 2023 ("YaRN"), kLlama3 as published with Llama 3.1.
std::vector<double> RopeFrequencies(const RopeSpec& spec, int64_t tokens);

// Cosines and sines for every token of a batch, float32, multiplied by the spec's attention factor.
struct RopeTable {
  at::Tensor cos_PR;
  at::Tensor sin_PR;
};

// Row r of the batch is the tokens offsets[r] … offsets[r + 1] - 1; each row counts from 0.
RopeTable MakeRopeTable(const RopeSpec& spec, absl::Span<const int64_t> offsets, at::Device device);

// Of a table of one row, what tokens at these places of their texts need. kDynamic: for texts up to original_positions.
RopeTable RowsOf(const RopeTable& table, const at::Tensor& positions_P);

// Turns the first 2 R numbers of each head, in float32; the table may have more tokens than x, of which the first
// count. x: (P, N, H). Returns x's shape and type.
at::Tensor ApplyRope(const RopeTable& table, bool interleaved, const at::Tensor& x_PNH);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ROPE_H_
