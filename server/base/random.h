// Random numbers that are the same on every platform for the same seed.
#ifndef MIDLAYER_SERVER_BASE_RANDOM_H_
#define MIDLAYER_SERVER_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace midlayer {

// A generator (std::mt19937_64, whose outputs the C++ standard fixes) with its own distributions: those of the standard
// library differ from one library to the next. What a seed gives never changes. Not thread-safe: one for each thread,
// each seeded with a SubSeed(). Not for secrets.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // The seed of stream number `stream` below `seed`, for parts of a work that must not share one sequence (texts,
  // layers, repetitions) and may run in any order. For one seed, different streams have different seeds. The mixing
  // function of SplitMix64 (Steele, Lea and Flood 2014), which keeps near numbers from giving related sequences.
  static uint64_t SubSeed(uint64_t seed, uint64_t stream);

  // 64 uniform bits.
  uint64_t Bits() { return engine_(); }

  // Uniform over 0…n-1 without bias (by rejection). 0 if n = 0.
  uint64_t Index(uint64_t n);

  // Uniform over the multiples of 2^-53 in [0, 1).
  double Uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  // Brings `items` into an order that is uniform over all orders (Fisher-Yates).
  template <typename T>
  void Shuffle(absl::Span<T> items) {
    for (size_t left = items.size(); left > 1; --left) {
      using std::swap;
      swap(items[left - 1], items[Index(left)]);
    }
  }

  // k different indices of 0…n-1, in random order: every such sequence is as likely as any other. All n if k > n.
  // Takes O(n) memory.
  std::vector<size_t> Sample(size_t n, size_t k);

 private:
  std::mt19937_64 engine_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_RANDOM_H_
