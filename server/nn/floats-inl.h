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
