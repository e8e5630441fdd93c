#include "server/engine/vector_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/digest.h"

namespace midlayer {

namespace {

std::string WithSlot(const std::string& key, const PoolSlot& slot) {
  return absl::StrCat(key, " ", slot.layer, " ", static_cast<int>(slot.state), " ", static_cast<int>(slot.pooling), " ",
                      slot.dense);
}

}  // namespace

std::string VectorCache::KeyOf(const EmbedTask& task, size_t text) {
  Sha256 digest;
  digest.Update(absl::StrCat(static_cast<int>(task.truncation), " ", task.prompt.size(), " "));
  digest.Update(task.prompt);
  digest.Update(task.texts[text]);
  return digest.Finish();
}

std::optional<VectorCache::Text> VectorCache::Find(const std::string& key, absl::Span<const PoolSlot> slots) {
  Text text;
  {
    const std::lock_guard lock(mutex_);
    for (const PoolSlot& slot : slots) {
      const auto found = by_key_.find(WithSlot(key, slot));
      if (found == by_key_.end()) break;
      const Entry& entry = *found->second;
      text.pooled.push_back(entry.pooled);
      text.tokens = entry.tokens;
      text.truncated = entry.truncated;
      entries_.splice(entries_.begin(), entries_, found->second);
    }
  }
  const bool is_whole = text.pooled.size() == slots.size();
  telemetry_->CacheLookedUp(is_whole);
  return is_whole ? std::optional(std::move(text)) : std::nullopt;
}

void VectorCache::Insert(const std::string& key, absl::Span<const PoolSlot> slots, const Text& text) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < slots.size(); ++i) {
    std::string with_slot = WithSlot(key, slots[i]);
    if (by_key_.contains(with_slot)) continue;  // computed twice at once
    if (static_cast<int64_t>(entries_.size()) == most_) {
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({std::move(with_slot), text.pooled[i], text.tokens, text.truncated});
    by_key_.emplace(entries_.front().key, entries_.begin());
  }
  telemetry_->CacheHolds(static_cast<int64_t>(entries_.size()));
}

}  // namespace midlayer
