// Floats in memory, as such or as the bits of bfloat16, for the kernels that Highway compiles once for each set of
// vector instructions: included by them once for each.
#if defined(MIDLAYER_SERVER_NN_FLOATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIDLAYER_SERVER_NN_FLOATS_INL_H_
#undef MIDLAYER_SERVER_NN_FLOATS_INL_H_
#else
#define MIDLAYER_SERVER_NN_FLOATS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace midlayer::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
using OneFloat = hn::CappedTag<float, 1>;

template <typename Tag>
hn::Vec<Tag> LoadFloats(Tag d, const float* from) {
  return hn::LoadU(d, from);
}
template <typename Tag>
hn::Vec<Tag> LoadFloats(Tag d, const uint16_t* from) {
  const hn::RebindToUnsigned<Tag> bits;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(hn::Rebind<uint16_t, Tag>(), from))));
}

template <typename Tag>
void StoreFloats(Tag d, hn::Vec<Tag> x, float* to) {
  hn::StoreU(x, d, to);
}
// To the nearest, ties to even; what is no number stays none.
template <typename Tag>
void StoreFloats(Tag /*d*/, hn::Vec<Tag> x, uint16_t* to) {
  const hn::RebindToUnsigned<Tag> bits;
  const hn::Rebind<uint16_t, Tag> halves;
  const auto wide = hn::BitCast(bits, x);
  const auto odd = hn::And(hn::ShiftRight<16>(wide), hn::Set(bits, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(wide, hn::Set(bits, 0x7FFF)), odd));
  const auto is_nan = hn::RebindMask(bits, hn::IsNaN(x));
  hn::StoreU(hn::TruncateTo(halves, hn::IfThenElse(is_nan, hn::Set(bits, 0x7FC0), rounded)), halves, to);
}

// 2^x from -0.5 to 0.5, by rising powers of x, to 1e-7 of it; 1 at 0.
constexpr float kPowerOf2[] = {1.0F, 0.693147004F, 0.240222424F, 0.0555073358F, 0.00967151299F, 0.00132647273F};

// 2^x for x <= 0, with an error of two units in the last place; 0 from -127 on. Adding and taking away 1.5 * 2^23
// rounds to a whole number and leaves it in the last bits, from where it is added to the exponent; of the rest, a
// polynomial with the least largest error.
template <typename Tag>
hn::Vec<Tag> PowerOf2(Tag d, hn::Vec<Tag> x) {
  const hn::RebindToSigned<Tag> bits;
  const auto shift = hn::Set(d, 12582912.0F);
  x = hn::Max(x, hn::Set(d, -127));
  const auto shifted = hn::Add(x, shift);
  const auto rest = hn::Sub(x, hn::Sub(shifted, shift));  // -0.5 … 0.5
  auto power = hn::Set(d, kPowerOf2[5]);
  for (int i = 4; i >= 0; --i) power = hn::MulAdd(power, rest, hn::Set(d, kPowerOf2[i]));
  return hn::BitCast(d, hn::Add(hn::BitCast(bits, power), hn::ShiftLeft<23>(hn::BitCast(bits, shifted))));
}

// Calls of(d, i) for the numbers from i on of 0 … size - 1: as many as d has lanes.
template <typename Function>
HWY_INLINE void ForEachVector(int64_t size, const Function& of) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) of(d, i);
  for (; i < size; ++i) of(OneFloat(), i);
}

// The sum of all lanes of of(d, i).
template <typename Function>
HWY_INLINE float SumOfVectors(int64_t size, const Function& of) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  Vector sums = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) sums = hn::Add(sums, of(d, i));
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < size; ++i) sum += hn::GetLane(of(OneFloat(), i));
  return sum;
}

}  // namespace midlayer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MIDLAYER_SERVER_NN_FLOATS_INL_H_
