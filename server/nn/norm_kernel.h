// A sum and its norm in one step on a CPU, in the widest vector instructions that it has (Highway chooses when the
// program runs). No torch.
#ifndef MIDLAYER_SERVER_NN_NORM_KERNEL_H_
#define MIDLAYER_SERVER_NN_NORM_KERNEL_H_

#include <cstdint>

namespace midlayer {

// P rows of D numbers, one after the other. Element: of `added`: float, or uint16_t for the bits of bfloat16.
template <typename Element>
struct NormTask {
  const float* x = nullptr;         // (P, D)
  const Element* added = nullptr;   // (P, D), to x; null: nothing
  float* sum = nullptr;             // (P, D), x + added; null: not wanted
  const float* weight = nullptr;    // (D)
  const float* bias = nullptr;      // (D); null: none
  float* normed = nullptr;          // (P, D); null: not wanted
  uint16_t* normed_bf16 = nullptr;  // (P, D), the bits of bfloat16; null: not wanted
  int64_t rows = 0;                 // P
  int64_t features = 0;             // D
  float epsilon = 0;
  bool centred = true;  // kLayer of NormKind; else kRms
};

// The norm of x + added over each row, computed in float32. Where something is added, sum or normed must be wanted.
// Nothing that is written may be what is read. Any number of threads may call it.
void AddAndNorm(const NormTask<float>& task);
void AddAndNorm(const NormTask<uint16_t>& task);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_NORM_KERNEL_H_
