// Selections in memory: of one object, gone with it. For one server whose selections need not outlive it, and for
// tests.
#ifndef MIDLAYER_SERVER_SELECTION_MEMORY_STORE_H_
#define MIDLAYER_SERVER_SELECTION_MEMORY_STORE_H_

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/selection/store.h"
#include "server/selection/wakeup.h"

namespace midlayer {

class MemoryStore : public SelectionStore {
 public:
  const std::string& name() const override { return name_; }
  absl::Status Put(const SelectionRecord& record, std::string_view report) override;
  absl::StatusOr<SelectionRecord> Get(std::string_view id) override;
  absl::StatusOr<std::string> Report(std::string_view id) override;
  absl::StatusOr<std::vector<SelectionRecord>> List() override;
  absl::StatusOr<std::string> Promoted() override;
  absl::StatusOr<std::string> Promote(std::string_view id, std::optional<std::string> expected_current) override;
  absl::Status Delete(std::string_view id) override;
  void WaitForChange(absl::Duration timeout) override { wakeup_.Wait(-1, timeout); }
  void Interrupt() override { wakeup_.Signal(); }

 private:
  struct Entry {
    SelectionRecord record;
    std::string report;
  };

  const std::string name_ = "memory";
  Wakeup wakeup_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Entry, std::less<>> entries_;  // by id
  std::string promoted_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_MEMORY_STORE_H_
