#include "server/selection/file_store.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/selection/durable_directory.h"
#include "server/selection/wakeup.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

constexpr char kPromoted[] = "promoted";
constexpr std::string_view kRecordSuffix = ".json", kReportSuffix = ".report";

std::string RecordFile(std::string_view id) { return absl::StrCat(ToAbsl(id), ToAbsl(kRecordSuffix)); }
std::string ReportFile(std::string_view id) { return absl::StrCat(ToAbsl(id), ToAbsl(kReportSuffix)); }

// The id in a file's name; nothing for a file of another kind.
std::optional<std::string> IdOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  if (!CheckSelectionId(name).ok()) return std::nullopt;
  return std::string(name);
}

// Tells when a file of a directory is replaced or removed. For one thread at a time.
class DirectoryWatch {
 public:
  explicit DirectoryWatch(const fs::path& path) : path_(path), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    Start();
  }

  // -1 where there is no inotify.
  int fd() const { return inotify_.get(); }

  // Watches again after the directory was removed and made anew. Whether this call did so.
  bool Start() {
    if (watch_ >= 0 || !inotify_.ok()) return false;
    watch_ = inotify_add_watch(inotify_.get(), path_.c_str(),
                               IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    return watch_ >= 0;
  }

  // Takes the events that wait.
  void Drain() {
    alignas(inotify_event) char buffer[4096];
    ssize_t size;
    while ((size = read(inotify_.get(), buffer, sizeof buffer)) > 0) {
      for (const char* at = buffer; at < buffer + size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        if (event->wd == watch_ && (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) Stop();
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

 private:
  void Stop() {
    inotify_rm_watch(inotify_.get(), watch_);
    watch_ = -1;
  }

  const fs::path path_;
  const FileDescriptor inotify_;
  int watch_ = -1;
};

class FileStore : public SelectionStore {
 public:
  FileStore(DurableDirectory directory, std::function<void(std::string_view)> on_damaged)
      : name_(absl::StrCat("file:", directory.path().string())),
        on_damaged_(std::move(on_damaged)),
        directory_(std::move(directory)),
        watch_(directory_.path()) {}

  const std::string& name() const override { return name_; }

  // Removes the reports without a record that writers which died left behind.
  absl::Status Sweep() {
    MIDLAYER_ASSIGN_OR_RETURN(const DurableDirectory::Lock lock, directory_.TakeLock());
    MIDLAYER_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory_.Names());
    for (const std::string& name : names) {
      const std::optional<std::string> id = IdOf(name, kReportSuffix);
      if (!id || HasRecord(*id)) continue;
      MIDLAYER_RETURN_IF_ERROR(directory_.Remove(name));
    }
    return absl::OkStatus();
  }

  absl::Status Put(const SelectionRecord& record, std::string_view report) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelection(record));
    MIDLAYER_ASSIGN_OR_RETURN(const DurableDirectory::Lock lock, directory_.TakeLock());
    // The report first: a record is never without one.
    MIDLAYER_RETURN_IF_ERROR(directory_.Write(ReportFile(record.id), report));
    return directory_.Write(RecordFile(record.id), SelectionToJson(record));
  }

  absl::StatusOr<SelectionRecord> Get(std::string_view id) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
    const absl::StatusOr<std::string> json = directory_.Read(RecordFile(id));
    if (absl::IsNotFound(json.status())) return NoSuchSelection(id);
    if (!json.ok()) return json.status();
    return ReadStored((directory_.path() / RecordFile(id)).string(), id, *json);
  }

  absl::StatusOr<std::string> Report(std::string_view id) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
    if (!HasRecord(id)) return NoSuchSelection(id);
    absl::StatusOr<std::string> report = directory_.Read(ReportFile(id));
    if (!absl::IsNotFound(report.status())) return report;
    if (!HasRecord(id)) return NoSuchSelection(id);  // deleted meanwhile
    return absl::DataLossError(absl::StrCat((directory_.path() / ReportFile(id)).string(),
                                            ": expected the report of a selection, found no file"));
  }

  absl::StatusOr<std::vector<SelectionRecord>> List() override {
    MIDLAYER_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory_.Names());
    std::vector<SelectionRecord> records;
    for (const std::string& name : names) {
      const std::optional<std::string> id = IdOf(name, kRecordSuffix);
      if (!id) continue;
      absl::StatusOr<SelectionRecord> record = Get(*id);
      if (record.ok()) {
        records.push_back(*std::move(record));
      } else if (!absl::IsNotFound(record.status()) && on_damaged_) {  // not found: deleted meanwhile
        on_damaged_(std::string(record.status().message()));
      }
    }
    SortSelections(&records);
    return records;
  }

  absl::StatusOr<std::string> Promoted() override {
    const absl::StatusOr<std::string> text = directory_.Read(kPromoted);
    if (absl::IsNotFound(text.status())) return "";
    if (!text.ok()) return text.status();
    const std::string_view id = std::string_view(*text).substr(0, text->empty() ? 0 : text->size() - 1);
    if (text->ends_with('\n') && (id.empty() || CheckSelectionId(id).ok())) return std::string(id);
    return absl::DataLossError(absl::StrCat((directory_.path() / kPromoted).string(),
                                            ": expected the id of a selection and a line end, found ", text->size(),
                                            " other bytes"));
  }

  absl::StatusOr<std::string> Promote(std::string_view id, std::optional<std::string> expected_current) override {
    MIDLAYER_RETURN_IF_ERROR(CheckPromotion(id, expected_current));
    MIDLAYER_ASSIGN_OR_RETURN(const DurableDirectory::Lock lock, directory_.TakeLock());
    if (!id.empty()) MIDLAYER_RETURN_IF_ERROR(Get(id).status());
    absl::StatusOr<std::string> current = Promoted();
    if (absl::IsDataLoss(current.status()) && !expected_current) current = "";
    if (!current.ok()) return current.status();
    if (expected_current && *expected_current != *current) return OtherIsPromoted(*expected_current, *current);
    MIDLAYER_RETURN_IF_ERROR(directory_.Write(kPromoted, absl::StrCat(ToAbsl(id), "\n")));
    return current;
  }

  absl::Status Delete(std::string_view id) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
    MIDLAYER_ASSIGN_OR_RETURN(const DurableDirectory::Lock lock, directory_.TakeLock());
    if (!HasRecord(id)) return NoSuchSelection(id);
    MIDLAYER_ASSIGN_OR_RETURN(const std::string promoted, Promoted());
    if (id == promoted) return IsPromoted(id);
    // The record first: it is gone as a whole, whatever happens to its report.
    MIDLAYER_RETURN_IF_ERROR(directory_.Remove(RecordFile(id)));
    return directory_.Remove(ReportFile(id));
  }

  void WaitForChange(absl::Duration timeout) override {
    if (watch_.Start()) return;
    if (wakeup_.Wait(watch_.fd(), timeout) == Wakeup::Reason::kReadable) watch_.Drain();
  }

  void Interrupt() override { wakeup_.Signal(); }

 private:
  // Also where it is damaged.
  bool HasRecord(std::string_view id) { return !absl::IsNotFound(directory_.Read(RecordFile(id)).status()); }

  const std::string name_;
  const std::function<void(std::string_view)> on_damaged_;
  const DurableDirectory directory_;
  Wakeup wakeup_;
  DirectoryWatch watch_;  // of the thread in WaitForChange()
};

}  // namespace

absl::StatusOr<std::unique_ptr<SelectionStore>> OpenFileStore(std::string_view directory, std::string_view scope,
                                                              const StoreOptions& options) {
  if (directory.empty() || directory.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("selection store: file: expected a directory after \"file:\", found none");
  }
  std::error_code error;
  // The process may change its directory later.
  const fs::path path = fs::absolute(fs::path(directory), error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("selection store: ", ToAbsl(directory), ": ", error.message()));
  }
  MIDLAYER_ASSIGN_OR_RETURN(DurableDirectory opened, DurableDirectory::Open(path / scope, options.lock_timeout));
  auto store = std::make_unique<FileStore>(std::move(opened), options.on_damaged);
  MIDLAYER_RETURN_IF_ERROR(store->Sweep());
  return store;
}

}  // namespace midlayer
