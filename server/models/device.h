// Where the model runs, chosen at start.
#ifndef MIDLAYER_SERVER_MODELS_DEVICE_H_
#define MIDLAYER_SERVER_MODELS_DEVICE_H_

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlayer {

// "cpu", "cuda", "cuda:N", several GPUs separated by commas, or "auto": a GPU where there is one, else the CPU. For a
// GPU, libtorch_cuda.so and what it needs are loaded now. Returns at least one, none twice. FAILED_PRECONDITION says
// what is missing; "auto" never fails for that reason.
absl::StatusOr<std::vector<at::Device>> OpenDevices(const std::string& names);

// Waits for everything that was started on it, on any stream.
void Synchronize(at::Device device);

// "float32", "bfloat16" or "float16".
absl::StatusOr<at::ScalarType> ParseDtype(const std::string& name);
std::string DtypeName(at::ScalarType dtype);

// Runs `work`; what libtorch throws becomes a Status: RESOURCE_EXHAUSTED for memory, INTERNAL for the rest.
absl::Status CatchTorch(const std::function<void()>& work);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_DEVICE_H_
