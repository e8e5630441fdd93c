// Attention of one text on a CPU, in the widest vector instructions that it has (Highway chooses when the program
// runs). No torch.
#ifndef MIDLAYER_SERVER_NN_ATTENTION_KERNEL_H_
#define MIDLAYER_SERVER_NN_ATTENTION_KERNEL_H_

#include <cstdint>

namespace midlayer {

// The T tokens of one text, for the heads of queries that share one head of keys and values. Element: float, or
// uint16_t for the bits of bfloat16. The H numbers of a head stand next to each other, and so do the heads of queries.
template <typename Element>
struct AttentionTask {
  const Element* q = nullptr;  // (T, query_heads, H)
  const Element* k = nullptr;  // (T, H)
  const Element* v = nullptr;  // (T, H)
  Element* out = nullptr;      // (T, query_heads, H)
  // From one token to the next, in elements.
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t out_stride = 0;
  int64_t tokens = 0;     // T
  int64_t head_size = 0;  // H
  int64_t query_heads = 1;
  // As in AttentionRule.
  float scale = 1;
  bool causal = false;
  int64_t window = 0;
  const float* added = nullptr;  // (query_heads, T, T), to the scaled scores; null: nothing
};

// softmax(scale q k^T + added) v, computed in float32; sums of a token run over its keys in order, whatever else is in
// the batch. Any number of threads may call it.
void Attend(const AttentionTask<float>& task);
void Attend(const AttentionTask<uint16_t>& task);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ATTENTION_KERNEL_H_
