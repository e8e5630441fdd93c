#include "server/service/vector_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

namespace midlayer {

namespace {

// Round to nearest, ties to even, as processors do. NaN stays NaN.
uint16_t ToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// IEEE 754 binary16, round to nearest, ties to even; beyond its range becomes infinity.
uint16_t ToFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7E00;
  if (magnitude >= 65520.0f) return sign | 0x7C00;
  if (magnitude < 6.103515625e-05f) {  // subnormal: a multiple of 2^-24; nearbyint rounds ties to even
    return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 16777216.0f));
  }
  const uint32_t rounded = (bits & 0x7FFFFFFF) + 0xFFF + ((bits >> 13) & 1);  // drop 13 bits of the mantissa
  return sign | static_cast<uint16_t>((rounded - (112u << 23)) >> 13);        // exponent bias 127 to 15
}

template <typename Convert>
std::string TwoBytesEach(const std::vector<float>& values, Convert convert) {
  std::string data;
  data.reserve(values.size() * 2);
  for (float value : values) {
    const uint16_t bits = convert(value);
    data.push_back(static_cast<char>(bits & 0xFF));
    data.push_back(static_cast<char>(bits >> 8));
  }
  return data;
}

std::string ToInt8(const std::vector<float>& values, float* scale) {
  float largest = 0;
  for (float value : values) largest = std::max(largest, std::fabs(value));
  *scale = largest / 127;
  std::string data;
  for (float value : values) {
    const float level = largest > 0 ? std::nearbyint(value / *scale) : 0;
    data.push_back(static_cast<char>(std::isnan(level) ? 0 : static_cast<int8_t>(std::clamp(level, -127.0f, 127.0f))));
  }
  return data;
}

std::string ToBits(const std::vector<float>& values) {
  std::string data((values.size() + 7) / 8, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) data[i / 8] = static_cast<char>(data[i / 8] | (0x80 >> (i % 8)));
  }
  return data;
}

}  // namespace

void EncodeVector(const std::vector<float>& values, v1::VectorFormat format, v1::Vector* vector) {
  float scale = 0;
  switch (format) {
    case v1::VECTOR_FORMAT_FLOAT16:
      return vector->set_data(TwoBytesEach(values, ToFloat16));
    case v1::VECTOR_FORMAT_BFLOAT16:
      return vector->set_data(TwoBytesEach(values, ToBfloat16));
    case v1::VECTOR_FORMAT_INT8:
      vector->set_data(ToInt8(values, &scale));
      return vector->set_scale(scale);
    case v1::VECTOR_FORMAT_BINARY:
      return vector->set_data(ToBits(values));
    default:
      vector->mutable_values()->Add(values.begin(), values.end());
  }
}

}  // namespace midlayer
