// Whether a model in a narrow dtype still gives the vectors of float32: what --dtype auto asks.
#ifndef MIDLAYER_SERVER_ENGINE_DTYPE_PROBE_H_
#define MIDLAYER_SERVER_ENGINE_DTYPE_PROBE_H_

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "server/engine/torch_runner.h"

namespace midlayer {

// The vectors of built-in texts (prose, code, several scripts; of a few to some hundred tokens) at every loaded layer,
// under the model's default pooling (mean where that is a trained one): (layers + 1, texts, D), float32, on the host.
absl::StatusOr<at::Tensor> ProbeVectors(const LoadedModel& model);

// The lowest cosine between vectors of the same layer and text. 0 where one has no direction or is no number.
double LeastCosine(const at::Tensor& a, const at::Tensor& b);

// Whether a device has instructions for products in bfloat16: without, they are slower than in float32.
bool MultipliesBFloat16(at::Device device);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_DTYPE_PROBE_H_
