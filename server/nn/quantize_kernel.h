// To int8 and back around products of integers on a CPU, in the widest vector instructions that it has (Highway
// chooses when the program runs). No torch.
#ifndef MIDLAYER_SERVER_NN_QUANTIZE_KERNEL_H_
#define MIDLAYER_SERVER_NN_QUANTIZE_KERNEL_H_

#include <cstdint>
#include <optional>

#include "server/nn/activation.h"

namespace midlayer {

inline constexpr int kQuantizedZero = 128;

// P rows of D numbers, one after the other: x is about scale * (quantized - kQuantizedZero), with a scale for each row,
// its largest absolute value / 127 (so a row is what it is, whatever stands beside it). A row with a number that is not
// finite gets a scale that is none.
struct QuantizeTask {
  const float* x = nullptr;      // (P, D)
  uint8_t* quantized = nullptr;  // (P, D), 1 to 255
  float* scale = nullptr;        // (P)
  int64_t rows = 0;              // P
  int64_t features = 0;          // D
};

// activation(scale y + bias), in place.
struct DequantizeTask {
  float* y = nullptr;            // (P, D)
  const float* scale = nullptr;  // (P)
  const float* bias = nullptr;   // (D); null: none
  std::optional<Activation> activation;
  int64_t rows = 0;      // P
  int64_t features = 0;  // D
};

// Any number of threads may call them.
void Quantize(const QuantizeTask& task);
void Dequantize(const DequantizeTask& task);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_QUANTIZE_KERNEL_H_
