#include "server/nn/cpu_capabilities.h"

#include <ATen/core/ivalue.h>
#include <ATen/cpu/Utils.h>

#include <algorithm>

namespace midlayer {

bool CpuHasAnyOf(std::initializer_list<std::string_view> capabilities) {
  const auto found = at::cpu::get_cpu_capabilities();
  return std::any_of(capabilities.begin(), capabilities.end(), [&](std::string_view name) {
    const auto capability = found.find(std::string(name));
    return capability != found.end() && capability->second.isBool() && capability->second.toBool();
  });
}

}  // namespace midlayer
