#include "client/cli/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace midlayer::cli {
namespace {

constexpr int kHalf = 1024;  // buckets of one doubling
constexpr uint64_t kMaxMicroseconds = (uint64_t{1} << 36) - 1;

size_t BucketOf(uint64_t microseconds) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(microseconds)) - 11);
  return static_cast<size_t>(shift) * kHalf + static_cast<size_t>(microseconds >> shift);
}

// The largest value of a bucket.
double UpperSeconds(size_t bucket) {
  const size_t shift = bucket < 2 * kHalf ? 0 : bucket / kHalf - 1;
  const uint64_t top = bucket - shift * kHalf;
  return static_cast<double>(((top + 1) << shift) - 1) * 1e-6;
}

}  // namespace

void LatencyHistogram::Record(double seconds) {
  seconds = std::max(seconds, 0.0);
  const double microseconds = std::min(std::round(seconds * 1e6), static_cast<double>(kMaxMicroseconds));
  const size_t bucket = BucketOf(static_cast<uint64_t>(microseconds));
  if (bucket >= counts_.size()) counts_.resize(bucket + 1);
  ++counts_[bucket];
  min_ = count_ == 0 ? seconds : std::min(min_, seconds);
  max_ = std::max(max_, seconds);
  sum_ += seconds;
  ++count_;
}

void LatencyHistogram::Add(const LatencyHistogram& other) {
  if (other.count_ == 0) return;
  counts_.resize(std::max(counts_.size(), other.counts_.size()));
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

double LatencyHistogram::Percentile(double percent) const {
  // A rank that is whole must not be rounded up because the percentage has no exact binary form.
  constexpr double kExact = 1 - 1e-12;
  const auto wanted = static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_) * kExact));
  uint64_t found = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    found += counts_[i];
    if (found >= std::max<uint64_t>(wanted, 1)) return std::clamp(UpperSeconds(i), min_, max_);
  }
  return max_;
}

uint64_t LatencyHistogram::CountBetween(double low_seconds, double high_seconds) const {
  uint64_t count = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const double upper = UpperSeconds(i);
    if (upper > low_seconds && upper <= high_seconds) count += counts_[i];
  }
  return count;
}

std::vector<LatencyHistogram::Bucket> LatencyHistogram::Buckets() const {
  std::vector<Bucket> buckets;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] > 0) buckets.push_back({.up_to_seconds = UpperSeconds(i), .count = counts_[i]});
  }
  return buckets;
}

}  // namespace midlayer::cli
