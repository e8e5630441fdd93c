// For the tests of kernels that Highway compiles for many sets of vector instructions.
#ifndef MIDLAYER_TESTS_NN_KERNEL_FIXTURES_H_
#define MIDLAYER_TESTS_NN_KERNEL_FIXTURES_H_

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace midlayer {

inline double Value(float x) { return x; }
inline double Value(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Element: float, or uint16_t for the bits of bfloat16.
template <typename Element>
std::vector<Element> Random(int64_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<Element> values(static_cast<size_t>(count));
  for (Element& value : values) {
    const float x = uniform(random);
    if constexpr (std::is_same_v<Element, float>) {
      value = x;
    } else {
      value = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
    }
  }
  return values;
}

// Runs with one set of vector instructions that this machine has.
class KernelTest : public testing::TestWithParam<int64_t> {
 protected:
  KernelTest() {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(GetParam());
  }
  ~KernelTest() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
};

inline std::string TargetName(const testing::TestParamInfo<int64_t>& info) { return hwy::TargetName(info.param); }

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_NN_KERNEL_FIXTURES_H_
