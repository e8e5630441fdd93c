#include "server/base/random.h"

#include <algorithm>
#include <numeric>

namespace midlayer {
namespace {

uint64_t SplitMix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t Random::SubSeed(uint64_t seed, uint64_t stream) { return SplitMix(SplitMix(seed) + stream); }

uint64_t Random::Index(uint64_t n) {
  if (n == 0) return 0;
  // The 2^64 mod n lowest numbers are drawn again: what is left is a whole number of times 0…n-1.
  const uint64_t first = (0 - n) % n;
  uint64_t bits = engine_();
  while (bits < first) bits = engine_();
  return bits % n;
}

std::vector<size_t> Random::Sample(size_t n, size_t k) {
  k = std::min(n, k);
  std::vector<size_t> indices(n);
  std::iota(indices.begin(), indices.end(), size_t{0});
  for (size_t i = 0; i < k; ++i) std::swap(indices[i], indices[i + Index(n - i)]);
  indices.resize(k);
  return indices;
}

}  // namespace midlayer
