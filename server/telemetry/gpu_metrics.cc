#include "server/telemetry/gpu_metrics.h"

#include <dlfcn.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

// Of nvml.h, which the driver does not bring. NVML keeps its binary interface: new versions of a call get a new name.
using Device = struct NvmlDevice*;
struct Utilization {
  unsigned gpu, memory;  // percent
};
struct Memory {
  unsigned long long total, free, used;  // bytes
};
constexpr int kSuccess = 0;
constexpr int kTemperatureOfGpu = 0;
constexpr unsigned kTextSize = 96;

prometheus::MetricFamily Family(const char* name, const char* help) {
  return {.name = name, .help = help, .type = prometheus::MetricType::Gauge, .metric = {}};
}

}  // namespace

// The library, and its calls by name.
struct GpuMetrics::Nvml {
  ~Nvml() {
    if (shutdown != nullptr) shutdown();
    if (library != nullptr) dlclose(library);
  }

  template <typename Function>
  absl::Status Find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("NVML: expected the function ", name, ", found none"));
  }

  absl::Status FindAll() {
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetCount_v2", count));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetHandleByIndex_v2", handle));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetName", name));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetUUID", uuid));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetUtilizationRates", utilization));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetMemoryInfo", memory));
    MIDLAYER_RETURN_IF_ERROR(Find("nvmlDeviceGetTemperature", temperature));
    return Find("nvmlDeviceGetPowerUsage", power);
  }

  std::string Text(int (*call)(Device, char*, unsigned), Device device) const {
    char text[kTextSize] = "";
    return call(device, text, kTextSize) == kSuccess ? text : "";
  }

  void* library = nullptr;
  int (*shutdown)() = nullptr;  // set once NVML is initialised
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*temperature)(Device, int, unsigned*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;
};

GpuMetrics::GpuMetrics(std::unique_ptr<Nvml> nvml) : nvml_(std::move(nvml)) {}
GpuMetrics::~GpuMetrics() = default;

absl::StatusOr<std::shared_ptr<GpuMetrics>> GpuMetrics::Open(const std::string& library) {
  auto nvml = std::make_unique<Nvml>();
  nvml->library = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (nvml->library == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("NVML, which comes with NVIDIA's driver, is not there: ", dlerror()));
  }
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  MIDLAYER_RETURN_IF_ERROR(nvml->Find("nvmlInit_v2", init));
  MIDLAYER_RETURN_IF_ERROR(nvml->Find("nvmlShutdown", shutdown));
  MIDLAYER_RETURN_IF_ERROR(nvml->FindAll());
  if (const int code = init(); code != kSuccess) {
    return absl::FailedPreconditionError(absl::StrCat("NVML could not be initialised (code ", code, "): no driver?"));
  }
  nvml->shutdown = shutdown;
  unsigned count = 0;
  if (nvml->count(&count) != kSuccess || count == 0) return absl::FailedPreconditionError("NVML knows no GPU");
  return std::shared_ptr<GpuMetrics>(new GpuMetrics(std::move(nvml)));
}

std::vector<prometheus::MetricFamily> GpuMetrics::Collect() const {
  auto utilization = Family("midlayer_gpu_utilization_ratio", "Part of the time in which the GPU computed, 0 to 1.");
  auto used = Family("midlayer_gpu_memory_used_bytes", "Memory of the GPU that is taken, by whomever.");
  auto total = Family("midlayer_gpu_memory_total_bytes", "Memory of the GPU.");
  auto temperature = Family("midlayer_gpu_temperature_celsius", "Temperature of the GPU.");
  auto power = Family("midlayer_gpu_power_watts", "What the GPU draws.");
  auto info = Family("midlayer_gpu_info", "The GPU's name.");
  unsigned count = 0;
  if (nvml_->count(&count) != kSuccess) count = 0;
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    if (nvml_->handle(i, &device) != kSuccess) continue;
    const std::vector<prometheus::ClientMetric::Label> labels = {{"gpu", std::to_string(i)},
                                                                 {"uuid", nvml_->Text(nvml_->uuid, device)}};
    const auto add = [&](prometheus::MetricFamily& family, int code, double value) {
      if (code != kSuccess) return;
      prometheus::ClientMetric metric;
      metric.label = labels;
      metric.gauge.value = value;
      family.metric.push_back(std::move(metric));
    };
    Utilization rates{};
    const int rates_code = nvml_->utilization(device, &rates);
    add(utilization, rates_code, rates.gpu / 100.0);
    Memory memory{};
    const int memory_code = nvml_->memory(device, &memory);
    add(used, memory_code, static_cast<double>(memory.used));
    add(total, memory_code, static_cast<double>(memory.total));
    unsigned celsius = 0;
    const int celsius_code = nvml_->temperature(device, kTemperatureOfGpu, &celsius);
    add(temperature, celsius_code, celsius);
    unsigned milliwatts = 0;
    const int milliwatts_code = nvml_->power(device, &milliwatts);
    add(power, milliwatts_code, milliwatts / 1000.0);
    add(info, kSuccess, 1);
    info.metric.back().label.push_back({"name", nvml_->Text(nvml_->name, device)});
  }
  std::vector<prometheus::MetricFamily> families;
  for (auto* family : {&utilization, &used, &total, &temperature, &power, &info}) {
    if (!family->metric.empty()) families.push_back(std::move(*family));
  }
  return families;
}

}  // namespace midlayer
