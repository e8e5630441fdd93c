#include "server/nn/attention_kernel.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <numbers>

#include "hwy/aligned_allocator.h"

// Highway compiles the rest of this file once for each set of vector instructions.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/nn/attention_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After it:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace midlayer::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// Queries that go through the keys together: as many as registers hold sums for.
constexpr int kQueries = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

constexpr float kLog2E = std::numbers::log2e_v<float>;

int64_t RoundUp(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

float ToFloat(float x) { return x; }
float ToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

void Assign(float x, float& to) { to = x; }
// To the nearest, ties to even; what is no number stays none.
void Assign(float x, uint16_t& to) {
  const auto bits = std::bit_cast<uint32_t>(x);
  to = x != x ? uint16_t{0x7FC0} : static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// 2^x for x <= 0, with an error of about one unit in the last place; 0 below -127.5. The powers of whole numbers are
// made as bits, those of the rest by the Taylor series of e^(x ln 2).
Vector PowerOf2(Vector x) {
  const Floats d;
  const hn::RebindToSigned<Floats> whole_numbers;
  x = hn::Max(x, hn::Set(d, -127));
  const Vector whole = hn::Round(x);
  const Vector rest = hn::Sub(x, whole);  // -0.5 … 0.5
  Vector power = hn::Set(d, 1.5403530e-4F);
  for (const float coefficient : {1.3333558e-3F, 9.6181291e-3F, 5.5504109e-2F, 2.4022651e-1F, 6.9314718e-1F, 1.0F}) {
    power = hn::MulAdd(power, rest, hn::Set(d, coefficient));
  }
  const auto exponent = hn::Add(hn::ConvertTo(whole_numbers, whole), hn::Set(whole_numbers, 127));
  return hn::Mul(power, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

// The room one thread computes in.
struct Room {
  float* keys;     // (H, T'): T rounded up to whole vectors; what follows the last key is 0
  float* values;   // (T, H'): H rounded up to whole vectors
  float* queries;  // (kQueries, H), scaled; what follows is in powers of 2
  float* scores;   // (kQueries, T')
  float* sums;     // (H')
};

template <typename Element>
class Head {
 public:
  explicit Head(const AttentionTask<Element>& task)
      : task_(task),
        lanes_(static_cast<int64_t>(hn::Lanes(Floats()))),
        tokens_(RoundUp(task.tokens, lanes_)),
        head_size_(RoundUp(task.head_size, lanes_)),
        room_(MakeRoom()) {}

  void Run() {
    Pack();
    for (int64_t head = 0; head < task_.query_heads; ++head) {
      for (int64_t query = 0; query < task_.tokens; query += kQueries) {
        RunQueries(head, query);
      }
    }
  }

 private:
  struct Range {
    int64_t begin;
    int64_t end;
  };

  Room MakeRoom() const {
    const int64_t sizes[] = {task_.head_size * tokens_, task_.tokens * head_size_, kQueries * head_size_,
                             kQueries * tokens_, head_size_};
    int64_t total = 0;
    for (const int64_t size : sizes) total += RoundUp(size, 16);
    thread_local hwy::AlignedFreeUniquePtr<float[]> memory;
    thread_local int64_t held = 0;
    if (held < total) {
      memory = hwy::AllocateAligned<float>(static_cast<size_t>(total));
      held = total;
    }
    float* next = memory.get();
    const auto take = [&next](int64_t size) {
      float* const taken = next;
      next += RoundUp(size, 16);
      return taken;
    };
    return {take(sizes[0]), take(sizes[1]), take(sizes[2]), take(sizes[3]), take(sizes[4])};
  }

  // Of each task's own memory one token follows the next only after all other heads, often at a distance that lands in
  // the same few sets of the cache: everything is read once, token by token.
  void Pack() {
    for (int64_t token = 0; token < task_.tokens; ++token) {
      const Element* const key = task_.k + token * task_.k_stride;
      for (int64_t h = 0; h < task_.head_size; ++h) room_.keys[h * tokens_ + token] = ToFloat(key[h]);
      const Element* const value = task_.v + token * task_.v_stride;
      float* const to = room_.values + token * head_size_;
      for (int64_t h = 0; h < task_.head_size; ++h) to[h] = ToFloat(value[h]);
      std::fill(to + task_.head_size, to + head_size_, 0.0F);
    }
    for (int64_t h = 0; h < task_.head_size; ++h) {
      std::fill(room_.keys + h * tokens_ + task_.tokens, room_.keys + (h + 1) * tokens_, 0.0F);
    }
  }

  // The keys that a query sees.
  Range Seen(int64_t query) const {
    Range seen{0, task_.tokens};
    if (task_.window > 0) {
      seen = {std::max<int64_t>(0, query - task_.window + 1), std::min(task_.tokens, query + task_.window)};
    }
    if (task_.causal) seen.end = query + 1;
    return seen;
  }

  void RunQueries(int64_t head, int64_t first) {
    // Behind the last query comes the last one again.
    const auto query_at = [this, first](int i) { return std::min(first + i, task_.tokens - 1); };
    const Range keys{Seen(first).begin, Seen(query_at(kQueries - 1)).end};
    const Range padded{keys.begin / lanes_ * lanes_, RoundUp(keys.end, lanes_)};
    for (int i = 0; i < kQueries; ++i) {
      const Element* const from = task_.q + query_at(i) * task_.q_stride + head * task_.head_size;
      for (int64_t h = 0; h < task_.head_size; ++h) {
        room_.queries[i * head_size_ + h] = kLog2E * task_.scale * ToFloat(from[h]);
      }
    }
    Score(padded);
    float weight[kQueries];
    for (int i = 0; i < kQueries; ++i) {
      if (task_.added != nullptr) Add(head, query_at(i), keys, room_.scores + i * tokens_);
      weight[i] = 1 / Exponentials(Seen(query_at(i)), padded, room_.scores + i * tokens_);
    }
    const int64_t step = 2 * lanes_;
    for (int64_t h = 0; h < head_size_; h += step) {
      if (h + step <= head_size_) {
        Mix<2>(head, first, h, keys, weight);
      } else {
        Mix<1>(head, first, h, keys, weight);
      }
    }
  }

  // scores = queries keys^T
  void Score(Range keys) {
    for (int64_t key = keys.begin; key < keys.end;) {
      const int64_t left = (keys.end - key) / lanes_;
      const int64_t vectors = left == 4 ? 2 : std::min<int64_t>(3, left);  // one alone leaves registers empty
      if (vectors == 3) ScoreKeys<3>(key);
      if (vectors == 2) ScoreKeys<2>(key);
      if (vectors == 1) ScoreKeys<1>(key);
      key += vectors * lanes_;
    }
  }

  // Of kVectors vectors of keys: as many as registers hold sums for.
  template <int kVectors>
  void ScoreKeys(int64_t key) {
    const Floats d;
    Vector sums[kVectors][kQueries];
    for (auto& column : sums) std::fill_n(column, kQueries, hn::Zero(d));
    for (int64_t h = 0; h < task_.head_size; ++h) {
      Vector keys[kVectors];
      for (int v = 0; v < kVectors; ++v) keys[v] = hn::Load(d, room_.keys + h * tokens_ + key + v * lanes_);
      for (int i = 0; i < kQueries; ++i) {
        const Vector query = hn::Set(d, room_.queries[i * head_size_ + h]);
        for (int v = 0; v < kVectors; ++v) sums[v][i] = hn::MulAdd(query, keys[v], sums[v][i]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      for (int v = 0; v < kVectors; ++v) hn::Store(sums[v][i], d, room_.scores + i * tokens_ + key + v * lanes_);
    }
  }

  void Add(int64_t head, int64_t query, Range keys, float* scores) const {
    const float* const added = task_.added + (head * task_.tokens + query) * task_.tokens;
    for (int64_t key = keys.begin; key < keys.end; ++key) scores[key] += kLog2E * added[key];
  }

  // 2^(score - the largest), 0 where not seen. Returns their sum.
  static float Exponentials(Range seen, Range padded, float* scores) {
    const Floats d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    std::fill(scores + padded.begin, scores + seen.begin, kHidden);
    std::fill(scores + seen.end, scores + padded.end, kHidden);
    Vector largest = hn::Set(d, kHidden);
    for (int64_t key = padded.begin; key < padded.end; key += lanes) {
      largest = hn::Max(largest, hn::Load(d, scores + key));
    }
    largest = hn::MaxOfLanes(d, largest);
    Vector sum = hn::Zero(d);
    for (int64_t key = padded.begin; key < padded.end; key += lanes) {
      const Vector power = PowerOf2(hn::Sub(hn::Load(d, scores + key), largest));
      sum = hn::Add(sum, power);
      hn::Store(power, d, scores + key);
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
  }

  // The numbers h … h + kVectors * lanes_ - 1 of what the queries from `first` on get: weight * scores values.
  template <int kVectors>
  void Mix(int64_t head, int64_t first, int64_t h, Range keys, const float* weight) {
    const Floats d;
    Vector sums[kVectors][kQueries];
    for (auto& column : sums) std::fill_n(column, kQueries, hn::Zero(d));
    for (int64_t key = keys.begin; key < keys.end; ++key) {
      Vector values[kVectors];
      for (int v = 0; v < kVectors; ++v) values[v] = hn::Load(d, room_.values + key * head_size_ + h + v * lanes_);
      for (int i = 0; i < kQueries; ++i) {
        const Vector score = hn::Set(d, room_.scores[i * tokens_ + key]);
        for (int v = 0; v < kVectors; ++v) sums[v][i] = hn::MulAdd(score, values[v], sums[v][i]);
      }
    }
    const int64_t count = std::min(kVectors * lanes_, task_.head_size - h);
    for (int i = 0; i < kQueries && first + i < task_.tokens; ++i) {
      const Vector factor = hn::Set(d, weight[i]);
      for (int v = 0; v < kVectors; ++v) hn::Store(hn::Mul(sums[v][i], factor), d, room_.sums + v * lanes_);
      Element* const to = task_.out + (first + i) * task_.out_stride + head * task_.head_size + h;
      for (int64_t n = 0; n < count; ++n) Assign(room_.sums[n], to[n]);
    }
  }

  const AttentionTask<Element>& task_;
  const int64_t lanes_;
  const int64_t tokens_;     // T'
  const int64_t head_size_;  // H'
  const Room room_;
};

void AttendFloat(const AttentionTask<float>& task) { Head<float>(task).Run(); }
void AttendBFloat16(const AttentionTask<uint16_t>& task) { Head<uint16_t>(task).Run(); }

}  // namespace midlayer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace midlayer {

HWY_EXPORT(AttendFloat);
HWY_EXPORT(AttendBFloat16);

void Attend(const AttentionTask<float>& task) { HWY_DYNAMIC_DISPATCH(AttendFloat)(task); }
void Attend(const AttentionTask<uint16_t>& task) { HWY_DYNAMIC_DISPATCH(AttendBFloat16)(task); }

}  // namespace midlayer
#endif
