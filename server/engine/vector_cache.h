// Pooled vectors of texts that were asked for before.
#ifndef MIDLAYER_SERVER_ENGINE_VECTOR_CACHE_H_
#define MIDLAYER_SERVER_ENGINE_VECTOR_CACHE_H_

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "server/engine/request.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {

// The least recently used make room. Of one loaded model: what else changes a vector does not change while it is
// loaded. Texts are kept as their SHA-256. Thread-safe.
class VectorCache {
 public:
  // `vectors`: how many it holds, at least one. `telemetry` must outlive it.
  VectorCache(int64_t vectors, Telemetry* telemetry) : most_(vectors), telemetry_(telemetry) {}

  // Of everything that the pooled vectors of a text depend on, but for the slots.
  static std::string KeyOf(const EmbedTask& task, size_t text);

  struct Text {
    std::vector<std::vector<float>> pooled;  // one a slot
    int tokens = 0;
    bool truncated = false;
  };
  // Only where all slots are there.
  std::optional<Text> Find(const std::string& key, absl::Span<const PoolSlot> slots);
  void Insert(const std::string& key, absl::Span<const PoolSlot> slots, const Text& text);

 private:
  struct Entry {
    std::string key;  // with the slot
    std::vector<float> pooled;
    int tokens = 0;
    bool truncated = false;
  };

  const int64_t most_;
  Telemetry* const telemetry_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Entry> entries_;  // the last used first
  absl::flat_hash_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_VECTOR_CACHE_H_
