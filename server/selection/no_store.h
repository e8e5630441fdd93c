// No selections at all: for servers that are only ever asked for layers by number, or for the last one.
#ifndef MIDLAYER_SERVER_SELECTION_NO_STORE_H_
#define MIDLAYER_SERVER_SELECTION_NO_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/selection/store.h"
#include "server/selection/wakeup.h"

namespace midlayer {

// Always empty: Put() and Promote() are FAILED_PRECONDITION. So servers that share nothing cannot disagree either.
class NoStore final : public SelectionStore {
 public:
  const std::string& name() const override { return name_; }
  bool keeps() const override { return false; }
  absl::Status Put(const SelectionRecord&, std::string_view) override { return KeepsNone(); }
  absl::StatusOr<SelectionRecord> Get(std::string_view id) override { return NoSuch(id); }
  absl::StatusOr<std::string> Report(std::string_view id) override { return NoSuch(id); }
  absl::StatusOr<std::vector<SelectionRecord>> List() override { return std::vector<SelectionRecord>(); }
  absl::StatusOr<std::string> Promoted() override { return std::string(); }
  absl::StatusOr<std::string> Promote(std::string_view, std::optional<std::string>) override { return KeepsNone(); }
  absl::Status Delete(std::string_view id) override { return NoSuch(id); }
  void WaitForChange(absl::Duration timeout) override { wakeup_.Wait(-1, timeout); }
  void Interrupt() override { wakeup_.Signal(); }

 private:
  static absl::Status KeepsNone() {
    return absl::FailedPreconditionError("this server keeps no selections (--selection-store none)");
  }
  static absl::Status NoSuch(std::string_view id) {
    return absl::NotFoundError(absl::StrCat("selection ", ToAbsl(id), ": ", KeepsNone().message()));
  }

  const std::string name_ = "none";
  Wakeup wakeup_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_NO_STORE_H_
