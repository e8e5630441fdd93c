#include "server/models/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <exception>
#include <new>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

// The symbols of libtorch_cuda.so register themselves with libtorch when it is loaded; it must stay.
absl::Status LoadCuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--device: CUDA could not be loaded (the torch wheel's NVIDIA packages must stand beside it): ", dlerror()));
  }
  if (at::detail::getCUDAHooks().deviceCount() == 0) {
    return absl::FailedPreconditionError("--device: no CUDA device found (no GPU, or no driver)");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<at::Device> OpenDevice(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  if (name == "auto") return LoadCuda().ok() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  std::optional<at::Device> device;
  const absl::Status parsed = CatchTorch([&] { device = at::Device(name); });
  if (!parsed.ok() || !device->is_cuda()) {
    return absl::InvalidArgumentError(absl::StrCat("--device: expected cpu, cuda, cuda:N or auto, found ", name));
  }
  MIDLAYER_RETURN_IF_ERROR(LoadCuda());
  const int count = at::detail::getCUDAHooks().deviceCount();
  const int index = device->has_index() ? device->index() : 0;
  if (index >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("--device: expected a GPU from 0 to ", count - 1, ", found ", index));
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

absl::StatusOr<at::ScalarType> ParseDtype(const std::string& name) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    if (DtypeName(dtype) == name) return dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat("--dtype: expected float32, bfloat16 or float16, found ", name));
}

std::string DtypeName(at::ScalarType dtype) {
  if (dtype == at::kFloat) return "float32";
  return dtype == at::kBFloat16 ? "bfloat16" : "float16";
}

absl::Status CatchTorch(const std::function<void()>& work) {
  try {
    work();
    return absl::OkStatus();
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(absl::StrCat("out of device memory: ", error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("libtorch: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("libtorch: ", error.what()));
  }
}

}  // namespace midlayer
