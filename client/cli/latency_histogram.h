// Durations of any length, counted with a bounded relative error in little memory.
#ifndef MIDLAYER_CLIENT_CLI_LATENCY_HISTOGRAM_H_
#define MIDLAYER_CLIENT_CLI_LATENCY_HISTOGRAM_H_

#include <cstdint>
#include <vector>

namespace midlayer::cli {

// The layout of HdrHistogram (https://hdrhistogram.org): whole microseconds up to 2047 each have a bucket, and each
// doubling above has 1024, so that no value is off by more than a thousandth of itself. Beyond 19 hours all count as
// that. Not thread-safe.
class LatencyHistogram {
 public:
  // Negative durations count as 0.
  void Record(double seconds);
  void Add(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  // In seconds; 0 where nothing was recorded.
  double min() const { return count_ > 0 ? min_ : 0; }
  double max() const { return max_; }
  double mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }

  // The smallest recorded duration, in seconds and up to the precision above, that at least `percent` (0 to 100) of all
  // do not exceed; 0 where nothing was recorded.
  double Percentile(double percent) const;

  // How many recorded durations lie in (low, high] seconds, by the buckets' upper ends.
  uint64_t CountBetween(double low_seconds, double high_seconds) const;

  // Those that hold something, in ascending order.
  struct Bucket {
    double up_to_seconds = 0;  // the largest duration that it counts
    uint64_t count = 0;
  };
  std::vector<Bucket> Buckets() const;

 private:
  std::vector<uint64_t> counts_;  // as long as its last bucket that holds something
  uint64_t count_ = 0;
  double sum_ = 0, min_ = 0, max_ = 0;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_LATENCY_HISTOGRAM_H_
