#ifndef MIDLAYER_SERVER_NN_CPU_CAPABILITIES_H_
#define MIDLAYER_SERVER_NN_CPU_CAPABILITIES_H_

#include <initializer_list>
#include <string_view>

namespace midlayer {

// Whether this machine's processor has any of these, by libtorch's names for them ("avx512_bf16").
bool CpuHasAnyOf(std::initializer_list<std::string_view> capabilities);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_CPU_CAPABILITIES_H_
