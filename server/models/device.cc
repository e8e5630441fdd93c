#include "server/models/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <new>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

absl::Status OutOfDeviceMemory(const c10::Error& error) {
  return absl::ResourceExhaustedError(absl::StrCat("out of device memory: ", error.what_without_backtrace()));
}

absl::Status FromTorch(const c10::Error& error) {
  return absl::InternalError(absl::StrCat("libtorch: ", error.what_without_backtrace()));
}

// Whether FlashAttention runs here is asked once and remembered by libtorch: it wants a GPU of compute capability 8.0.
void ProbeFlashAttention(at::Device device) {
  const absl::Status ran = CatchTorch([&] {
    const at::Tensor x = at::zeros({1, 1, 8}, at::TensorOptions(device).dtype(at::kHalf));
    const at::Tensor starts = at::arange(2, at::TensorOptions(device).dtype(at::kInt));
    at::_flash_attention_forward(x, x, x, starts, starts, 1, 1, /*dropout_p=*/0, /*is_causal=*/false,
                                 /*return_debug_mask=*/false, std::optional<double>(1.0));
  });
  if (!ran.ok() && !absl::IsResourceExhausted(ran)) at::globalContext().setSDPUseFlash(false);
}

absl::StatusOr<at::Device> OpenGpu(const std::string& name) {
  std::optional<at::Device> device;
  const absl::Status parsed = CatchTorch([&] { device = at::Device(name); });
  if (!parsed.ok() || !device->is_cuda()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device: expected cpu, cuda, cuda:N, several GPUs as cuda:0,cuda:1, or auto, found ", name));
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

}  // namespace

absl::StatusOr<std::vector<at::Device>> OpenDevices(const std::string& names) {
  std::vector<at::Device> devices;
  if (names == "cpu" || (names == "auto" && !LoadCuda().ok())) {
    devices.emplace_back(at::kCPU);
    return devices;
  }
  for (const absl::string_view name : absl::StrSplit(names == "auto" ? "cuda" : names, ',')) {
    MIDLAYER_ASSIGN_OR_RETURN(const at::Device device, OpenGpu(std::string(name)));
    if (std::find(devices.begin(), devices.end(), device) != devices.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--device: expected each GPU once, found ", names));
    }
    ProbeFlashAttention(device);
    devices.push_back(device);
  }
  return devices;
}

void Synchronize(at::Device device) {
  if (device.is_cpu()) return;
  const c10::DeviceGuard guard(device);  // else the call comes back to a GPU that may not be ours, and opens it
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

absl::StatusOr<at::ScalarType> ParseDtype(const std::string& name) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    if (DtypeName(dtype) == name) return dtype;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--dtype: expected float32, bfloat16, float16, int8 or auto, found ", name));
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
    return OutOfDeviceMemory(error);
  } catch (const c10::AcceleratorError& error) {
    constexpr int kMemoryAllocation = 2;  // cudaErrorMemoryAllocation
    return error.get_error_code() == kMemoryAllocation ? OutOfDeviceMemory(error) : FromTorch(error);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const c10::Error& error) {
    return absl::StrContains(error.what_without_backtrace(), "CUBLAS_STATUS_ALLOC_FAILED") ? OutOfDeviceMemory(error)
                                                                                           : FromTorch(error);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("libtorch: ", error.what()));
  }
}

}  // namespace midlayer
