// From a tensor in a mapped file to a tensor of the model. Thread-safe.
#ifndef MIDLAYER_SERVER_MODELS_TENSOR_COPY_H_
#define MIDLAYER_SERVER_MODELS_TENSOR_COPY_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "server/base/digest.h"
#include "server/weights/safetensors.h"

namespace midlayer {

// The tensor in the mapped file, for reading only. `name` is for messages. INVALID_ARGUMENT, naming file and tensor:
// not F32, F16, BF16 or F64.
absl::StatusOr<at::Tensor> MapTensor(std::string_view name, const TensorView& view);

// A copy on `device` in `dtype`; otherwise as MapTensor.
absl::StatusOr<at::Tensor> CopyTensor(std::string_view name, const TensorView& view, at::Device device,
                                      at::ScalarType dtype);

// Adds name, type, shape and data.
void HashTensor(std::string_view name, const TensorView& view, Sha256& digest);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_TENSOR_COPY_H_
