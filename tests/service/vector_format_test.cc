#include "server/service/vector_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

v1::Vector Encode(const std::vector<float>& values, v1::VectorFormat format) {
  v1::Vector vector;
  EncodeVector(values, format, &vector);
  return vector;
}

uint16_t Encode16(float value, v1::VectorFormat format) {
  const std::string data = Encode({value}, format).data();
  EXPECT_EQ(data.size(), 2u);
  return static_cast<uint16_t>(static_cast<uint8_t>(data[0]) | static_cast<uint8_t>(data[1]) << 8);
}

// The value of a number with so many bits of exponent and mantissa, from the definition of IEEE 754.
double Decode(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}
double DecodeHalf(uint16_t bits) { return Decode(bits, 5, 10); }
double DecodeBfloat(uint16_t bits) { return Decode(bits, 8, 7); }

struct Format16 {
  const char* name;
  v1::VectorFormat format;
  double (*decode)(uint16_t);
  uint16_t infinity;
};
constexpr Format16 kFormats[] = {{"float16", v1::VECTOR_FORMAT_FLOAT16, DecodeHalf, 0x7C00},
                                 {"bfloat16", v1::VECTOR_FORMAT_BFLOAT16, DecodeBfloat, 0x7F80}};

// Every value that the format has comes back as its own bits.
TEST(SixteenBitsTest, EveryValueOfTheFormatIsKept) {
  for (const Format16& format : kFormats) {
    SCOPED_TRACE(format.name);
    for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
      const double value = format.decode(static_cast<uint16_t>(bits));
      const uint16_t encoded = Encode16(static_cast<float>(value), format.format);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(format.decode(encoded))) << bits;
      } else {
        ASSERT_EQ(encoded, bits) << value;
      }
    }
  }
}

// Halfway between neighbours goes to the even one, anything beyond it to the nearer: for every pair of neighbours, the
// largest with infinity included (IEEE 754 rounds there as if the exponent went on).
TEST(SixteenBitsTest, RoundsToNearestAndTiesToEven) {
  for (const Format16& format : kFormats) {
    SCOPED_TRACE(format.name);
    for (uint16_t low = 0; low < format.infinity; ++low) {
      const auto high = static_cast<uint16_t>(low + 1);
      const double a = format.decode(low);
      const double step =
          high == format.infinity ? a - format.decode(static_cast<uint16_t>(low - 1)) : format.decode(high) - a;
      const auto middle = static_cast<float>(a + step / 2);
      if (static_cast<double>(middle) != a + step / 2) continue;  // below float's own smallest numbers
      ASSERT_EQ(Encode16(middle, format.format), low % 2 == 0 ? low : high) << middle;
      ASSERT_EQ(Encode16(-middle, format.format), (low % 2 == 0 ? low : high) | 0x8000) << middle;
      ASSERT_EQ(Encode16(std::nextafterf(middle, 0), format.format), low) << middle;
      ASSERT_EQ(Encode16(std::nextafterf(middle, kInf), format.format), high) << middle;
    }
  }
}

// Reference values from IEEE 754 and from what numpy.float16 and torch.bfloat16 say.
TEST(SixteenBitsTest, ReferenceValues) {
  const struct {
    float value;
    uint16_t half, bfloat;
  } cases[] = {
      {0.0f, 0x0000, 0x0000},           {-0.0f, 0x8000, 0x8000},
      {1.0f, 0x3C00, 0x3F80},           {-2.0f, 0xC000, 0xC000},
      {1.0f / 3, 0x3555, 0x3EAB},       {3.14159265f, 0x4248, 0x4049},
      {0.1f, 0x2E66, 0x3DCD},           {65504.0f, 0x7BFF, 0x4780},          // the largest half
      {65519.996f, 0x7BFF, 0x4780},                                          // rounds down to it
      {65520.0f, 0x7C00, 0x4780},                                            // the tie goes to infinity
      {1e6f, 0x7C00, 0x4974},           {6.103515625e-05f, 0x0400, 0x3880},  // the smallest normal half
      {6.0975552e-05f, 0x03FF, 0x3880},                                      // the largest subnormal half
      {6.1005354e-05f, 0x0400, 0x3880},                                      // halfway between the two
      {5.9604645e-08f, 0x0001, 0x3380},                                      // the smallest subnormal half
      {2.9802322e-08f, 0x0000, 0x3300},                                      // half of it: a tie, to even
      {2.9802326e-08f, 0x0001, 0x3300}, {8.9406967e-08f, 0x0002, 0x33C0},    // 1.5 times it: a tie, to even
      {1e-40f, 0x0000, 0x0001},                                              // a subnormal float
      {3.3895314e38f, 0x7C00, 0x7F7F},                                       // the largest bfloat
      {3.4028235e38f, 0x7C00, 0x7F80},                                       // the largest float
      {kInf, 0x7C00, 0x7F80},           {-kInf, 0xFC00, 0xFF80},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Encode16(test.value, v1::VECTOR_FORMAT_FLOAT16), test.half) << test.value;
    EXPECT_EQ(Encode16(test.value, v1::VECTOR_FORMAT_BFLOAT16), test.bfloat) << test.value;
  }
  for (uint32_t nan :
       {0x7FC00000u, 0x7F800001u, 0xFFFFFFFFu, 0x7F80FFFFu}) {  // quiet, signalling, the largest payloads
    for (const Format16& format : kFormats) {
      EXPECT_TRUE(std::isnan(format.decode(Encode16(std::bit_cast<float>(nan), format.format)))) << format.name;
    }
  }
}

TEST(SixteenBitsTest, LittleEndianInOrder) {
  EXPECT_EQ(Encode({1.0f, -2.0f, 0.1f}, v1::VECTOR_FORMAT_FLOAT16).data(), std::string("\x00\x3C\x00\xC0\x66\x2E", 6));
  EXPECT_EQ(Encode({1.0f, 0.1f}, v1::VECTOR_FORMAT_BFLOAT16).data(), std::string("\x80\x3F\xCD\x3D", 4));
}

std::vector<int> Bytes(const v1::Vector& vector) {
  std::vector<int> bytes;
  for (char c : vector.data()) bytes.push_back(static_cast<int8_t>(c));
  return bytes;
}

TEST(Int8Test, TheLargestMagnitudeIs127) {
  const struct {
    std::vector<float> values;
    float scale;
    std::vector<int> bytes;
  } cases[] = {
      {{127, -127, 0, 1, -1, 63.4f}, 1, {127, -127, 0, 1, -1, 63}},
      {{-254, 127, 2}, 2, {-127, 64, 1}},  // 63.5 is a tie, to even
      {{254, 125, 2}, 2, {127, 62, 1}},    // 62.5 too
      {{0.5f}, 0.5f / 127, {127}},
      {{0, 0, 0}, 0, {0, 0, 0}},
      {{-0.0f}, 0, {0}},
      {{1e-45f, 0, -1e-45f}, 0, {127, 0, -127}},  // the scale is no float any more
      {{-kInf, 1}, kInf, {0, 0}},
      {{kNan, 127}, 1, {0, 127}},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(testing::PrintToString(test.values));
    const v1::Vector vector = Encode(test.values, v1::VECTOR_FORMAT_INT8);
    EXPECT_EQ(vector.scale(), test.scale);
    EXPECT_EQ(Bytes(vector), test.bytes);
    EXPECT_TRUE(vector.values().empty());
  }
}

TEST(Int8Test, DecodedValuesAreWithinHalfAStep) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> values(384);
  for (float& value : values) value = normal(random);
  const v1::Vector vector = Encode(values, v1::VECTOR_FORMAT_INT8);
  const std::vector<int> bytes = Bytes(vector);
  ASSERT_EQ(bytes.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(static_cast<float>(bytes[i]) * vector.scale(), values[i], vector.scale() * 0.5001f) << i;
  }
  EXPECT_EQ(std::max(*std::max_element(bytes.begin(), bytes.end()), -*std::min_element(bytes.begin(), bytes.end())),
            127);
}

// As numpy.packbits(x > 0).
TEST(BinaryTest, SignBitsFirstDimensionHighest) {
  const struct {
    std::vector<float> values;
    std::string data;
  } cases[] = {
      {{1}, "\x80"},
      {{0, 1}, "\x40"},
      {{-1, 0, -0.0f, kNan}, std::string("\0", 1)},
      {{1e-45f, kInf, -kInf}, "\xC0"},
      {{1, -1, 1, -1, 1, -1, 1, 1}, "\xAB"},
      {{-1, -1, -1, -1, -1, -1, -1, 1, 1}, "\x01\x80"},
      {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 1}, "\xFF\xFF\x40"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(testing::PrintToString(test.values));
    EXPECT_EQ(Encode(test.values, v1::VECTOR_FORMAT_BINARY).data(), test.data);
  }
  EXPECT_EQ(Encode(std::vector<float>(384, 1), v1::VECTOR_FORMAT_BINARY).data().size(), 48u);
}

TEST(Float32Test, ValuesAsTheyAre) {
  const v1::Vector vector = Encode({1.5f, -0.1f, kInf}, v1::VECTOR_FORMAT_FLOAT32);
  EXPECT_THAT(vector.values(), ElementsAre(1.5f, -0.1f, kInf));
  EXPECT_THAT(vector.data(), IsEmpty());
  EXPECT_EQ(vector.scale(), 0);
}

}  // namespace
}  // namespace midlayer
