// How much of a scoring run goes through the model at once.
#ifndef MIDLAYER_SERVER_ENGINE_CHUNK_SIZER_H_
#define MIDLAYER_SERVER_ENGINE_CHUNK_SIZER_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace midlayer {

// Whoever embeds waits for one layer of a chunk at most, so a chunk is as large as one layer of it takes about
// kLayerTime, whatever the machine and the model. Not thread-safe.
class ChunkSizer {
 public:
  static constexpr absl::Duration kLayerTime = absl::Milliseconds(10);

  // At most `most` tokens, which is what the buffers for their states hold.
  explicit ChunkSizer(int64_t most) : most_(std::max<int64_t>(most, 1)), tokens_(std::min(kStart, most_)) {}

  int64_t tokens() const { return tokens_; }

  // A chunk of so many tokens took so long in each of its layers, on average. Follows slowly: half way at a time.
  void Took(int64_t tokens, absl::Duration layer_time) {
    if (tokens <= 0 || layer_time <= absl::ZeroDuration()) return;
    const double fitting = static_cast<double>(tokens) * absl::FDivDuration(kLayerTime, layer_time);
    const double next = (static_cast<double>(tokens_) + std::min(fitting, 4.0 * static_cast<double>(tokens_))) / 2;
    tokens_ = std::clamp(static_cast<int64_t>(next), std::min(kLeast, most_), most_);
  }

 private:
  static constexpr int64_t kStart = 256;
  static constexpr int64_t kLeast = 64;

  const int64_t most_;
  int64_t tokens_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_CHUNK_SIZER_H_
