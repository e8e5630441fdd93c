#include "server/nn/attention_kernel.h"

#include <algorithm>
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
#include "server/nn/floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace midlayer::HWY_NAMESPACE {

// Queries that go through the keys together: as many as registers hold sums for.
constexpr int kQueries = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

constexpr float kLog2E = std::numbers::log2e_v<float>;

constexpr float kHidden = -std::numeric_limits<float>::infinity();

int64_t RoundUp(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

template <typename Element>
float ToFloat(Element x) {
  return hn::GetLane(LoadFloats(OneFloat(), &x));
}

// to[j][i] = from[i][j] of four by four numbers.
#if HWY_TARGET == HWY_SCALAR
template <typename Element>
void TransposeFours(const Element* from, int64_t from_stride, float* to, int64_t to_stride) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) to[j * to_stride + i] = ToFloat(from[i * from_stride + j]);
  }
}
#else
template <typename Element>
void TransposeFours(const Element* from, int64_t from_stride, float* to, int64_t to_stride) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> pairs;
  const auto row0 = LoadFloats(d, from), row1 = LoadFloats(d, from + from_stride);
  const auto row2 = LoadFloats(d, from + 2 * from_stride), row3 = LoadFloats(d, from + 3 * from_stride);
  const auto lower01 = hn::BitCast(pairs, hn::InterleaveLower(d, row0, row1));
  const auto upper01 = hn::BitCast(pairs, hn::InterleaveUpper(d, row0, row1));
  const auto lower23 = hn::BitCast(pairs, hn::InterleaveLower(d, row2, row3));
  const auto upper23 = hn::BitCast(pairs, hn::InterleaveUpper(d, row2, row3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, lower01, lower23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, lower01, lower23)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, upper01, upper23)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, upper01, upper23)), d, to + 3 * to_stride);
}
#endif

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
    const int64_t fours = task_.tokens / 4 * 4;
    for (int64_t token = 0; token < fours; token += 4) PackFourKeys(token);
    for (int64_t token = fours; token < task_.tokens; ++token) PackKey(token, 0);
    for (int64_t token = 0; token < task_.tokens; ++token) {
      const Element* const value = task_.v + token * task_.v_stride;
      float* const to = room_.values + token * head_size_;
      ForEachVector(task_.head_size,
                    [&](auto d, int64_t h) HWY_ATTR { StoreFloats(d, LoadFloats(d, value + h), to + h); });
      std::fill(to + task_.head_size, to + head_size_, 0.0F);
    }
    for (int64_t h = 0; h < task_.head_size; ++h) {
      std::fill(room_.keys + h * tokens_ + task_.tokens, room_.keys + (h + 1) * tokens_, 0.0F);
    }
  }

  void PackFourKeys(int64_t token) {
    const int64_t fours = task_.head_size / 4 * 4;
    for (int64_t h = 0; h < fours; h += 4) {
      TransposeFours(task_.k + token * task_.k_stride + h, task_.k_stride, room_.keys + h * tokens_ + token, tokens_);
    }
    for (int64_t i = 0; i < 4; ++i) PackKey(token + i, fours);
  }

  // Its numbers from `h` on.
  void PackKey(int64_t token, int64_t h) {
    const Element* const key = task_.k + token * task_.k_stride;
    for (; h < task_.head_size; ++h) room_.keys[h * tokens_ + token] = ToFloat(key[h]);
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
      float* const to = room_.queries + i * head_size_;
      ForEachVector(task_.head_size, [&](auto d, int64_t h) HWY_ATTR {
        StoreFloats(d, hn::Mul(LoadFloats(d, from + h), hn::Set(d, kLog2E * task_.scale)), to + h);
      });
    }
    Score(padded);
    // One step for all queries before the next: what a step waits for is then of another query.
    float largest[kQueries], sum[kQueries];
    for (int i = 0; i < kQueries; ++i) {
      float* const scores = room_.scores + i * tokens_;
      if (task_.added != nullptr) Add(head, query_at(i), keys, scores);
      Hide(Seen(query_at(i)), padded, scores);
    }
    for (int i = 0; i < kQueries; ++i) largest[i] = Largest(padded, room_.scores + i * tokens_);
    for (int i = 0; i < kQueries; ++i) sum[i] = Exponentials(largest[i], padded, room_.scores + i * tokens_);
    const int64_t step = 2 * lanes_;
    for (int64_t h = 0; h < head_size_; h += step) {
      if (h + step <= head_size_) {
        Mix<2>(head, first, h, keys, sum);
      } else {
        Mix<1>(head, first, h, keys, sum);
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

  static void Hide(Range seen, Range padded, float* scores) {
    std::fill(scores + padded.begin, scores + seen.begin, kHidden);
    std::fill(scores + seen.end, scores + padded.end, kHidden);
  }

  static float Largest(Range keys, const float* scores) {
    const Floats d;
    Vector largest = hn::Set(d, kHidden);
    for (int64_t key = keys.begin; key < keys.end; key += static_cast<int64_t>(hn::Lanes(d))) {
      largest = hn::Max(largest, hn::Load(d, scores + key));
    }
    return hn::GetLane(hn::MaxOfLanes(d, largest));
  }

  // 2^(score - largest), 0 for what is hidden. Returns their sum.
  static float Exponentials(float largest, Range keys, float* scores) {
    const Floats d;
    const Vector most = hn::Set(d, largest);
    Vector sum = hn::Zero(d);
    for (int64_t key = keys.begin; key < keys.end; key += static_cast<int64_t>(hn::Lanes(d))) {
      const Vector power = PowerOf2(d, hn::Sub(hn::Load(d, scores + key), most));
      sum = hn::Add(sum, power);
      hn::Store(power, d, scores + key);
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
  }

  // The numbers h … h + kVectors * lanes_ - 1 of what the queries from `first` on get: scores values / sum.
  template <int kVectors>
  void Mix(int64_t head, int64_t first, int64_t h, Range keys, const float* sum) {
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
      const Vector factor = hn::Set(d, 1 / sum[i]);
      for (int v = 0; v < kVectors; ++v) hn::Store(hn::Mul(sums[v][i], factor), d, room_.sums + v * lanes_);
      Element* const to = task_.out + (first + i) * task_.out_stride + head * task_.head_size + h;
      ForEachVector(count,
                    [&](auto all, int64_t n) HWY_ATTR { StoreFloats(all, hn::LoadU(all, room_.sums + n), to + n); });
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
