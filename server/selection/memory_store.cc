#include "server/selection/memory_store.h"

#include <utility>

#include "server/base/status.h"

namespace midlayer {

absl::Status MemoryStore::Put(const SelectionRecord& record, std::string_view report) {
  MIDLAYER_RETURN_IF_ERROR(CheckSelection(record));
  {
    std::lock_guard lock(mutex_);
    entries_[record.id] = {record, std::string(report)};
  }
  wakeup_.Signal();
  return absl::OkStatus();
}

absl::StatusOr<SelectionRecord> MemoryStore::Get(std::string_view id) {
  MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
  std::lock_guard lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return NoSuchSelection(id);
  return entry->second.record;
}

absl::StatusOr<std::string> MemoryStore::Report(std::string_view id) {
  MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
  std::lock_guard lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return NoSuchSelection(id);
  return entry->second.report;
}

absl::StatusOr<std::vector<SelectionRecord>> MemoryStore::List() {
  std::vector<SelectionRecord> records;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : entries_) records.push_back(entry.record);
  }
  SortSelections(&records);
  return records;
}

absl::StatusOr<std::string> MemoryStore::Promoted() {
  std::lock_guard lock(mutex_);
  return promoted_;
}

absl::StatusOr<std::string> MemoryStore::Promote(std::string_view id, std::optional<std::string> expected_current) {
  MIDLAYER_RETURN_IF_ERROR(CheckPromotion(id, expected_current));
  std::string previous(id);
  {
    std::lock_guard lock(mutex_);
    if (!id.empty() && !entries_.contains(id)) return NoSuchSelection(id);
    if (expected_current && *expected_current != promoted_) return OtherIsPromoted(*expected_current, promoted_);
    std::swap(previous, promoted_);
  }
  wakeup_.Signal();
  return previous;
}

absl::Status MemoryStore::Delete(std::string_view id) {
  MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
  {
    std::lock_guard lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) return NoSuchSelection(id);
    if (id == promoted_) return IsPromoted(id);
    entries_.erase(entry);
  }
  wakeup_.Signal();
  return absl::OkStatus();
}

}  // namespace midlayer
