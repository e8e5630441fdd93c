// Stands in for NVIDIA's library where there is no GPU: two of them, the second of which tells less. With
// MIDLAYER_FAKE_NVML set to "no-driver" or "no-gpu" it has none.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool Is(const char* what) {
  const char* asked = std::getenv("MIDLAYER_FAKE_NVML");
  return asked != nullptr && std::strcmp(asked, what) == 0;
}

int Number(const void* device) { return *static_cast<const int*>(device); }

}  // namespace

extern "C" {

int nvmlInit_v2() { return Is("no-driver") ? 9 : 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = Is("no-gpu") ? 0 : 2;
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  static int devices[] = {0, 1};
  *device = &devices[index];
  return 0;
}

int nvmlDeviceGetName(void* device, char* text, unsigned size) {
  std::snprintf(text, size, "Stand-in %d", Number(device));
  return 0;
}

int nvmlDeviceGetUUID(void* device, char* text, unsigned size) {
  std::snprintf(text, size, "GPU-%d", Number(device));
  return 0;
}

int nvmlDeviceGetUtilizationRates(void* device, unsigned* rates) {
  rates[0] = 37 + static_cast<unsigned>(Number(device));
  rates[1] = 5;
  return 0;
}

int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* memory) {
  memory[0] = 80000000000ull;
  memory[2] = 1000000000ull + static_cast<unsigned long long>(Number(device));
  memory[1] = memory[0] - memory[2];
  return 0;
}

int nvmlDeviceGetTemperature(void* device, int, unsigned* celsius) {
  *celsius = 41;
  return Number(device) == 0 ? 0 : 3;  // not supported
}

int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = 123456;
  return Number(device) == 0 ? 0 : 3;
}

}  // extern "C"
