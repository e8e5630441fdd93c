// A directory whose files are written whole or not at all, whatever happens to the process or the machine.
#ifndef MIDLAYER_SERVER_SELECTION_DURABLE_DIRECTORY_H_
#define MIDLAYER_SERVER_SELECTION_DURABLE_DIRECTORY_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace midlayer {

// A file descriptor, closed with the object.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Readers need no lock: they see a file as it was before a write or after it. Writers take Lock() first, and hold it
// until they are done. All methods may be called from any number of threads and processes.
//
// Errors name the file and the system's reason: UNAVAILABLE, but where told.
class DurableDirectory {
 public:
  // Held as long as the object lives, by one holder on this machine; the kernel gives it back when a process dies.
  using Lock = FileDescriptor;

  // Makes the directory where it does not exist, and removes what writers that died left behind. FAILED_PRECONDITION
  // where it cannot be made or written to.
  static absl::StatusOr<DurableDirectory> Open(const std::filesystem::path& path, absl::Duration lock_timeout);

  absl::StatusOr<Lock> TakeLock() const;

  // NOT_FOUND.
  absl::StatusOr<std::string> Read(const std::string& name) const;
  // When this returns OK, the file is on disk under its name: written beside, synced, renamed, the directory synced.
  // After an error the file may be the new or the old one. Lock held.
  absl::Status Write(const std::string& name, std::string_view bytes) const;
  // Nothing happens where there is no such file. Lock held.
  absl::Status Remove(const std::string& name) const;
  // Of all files but those that are being written.
  absl::StatusOr<std::vector<std::string>> Names() const;

  const std::filesystem::path& path() const { return path_; }

 private:
  DurableDirectory(std::filesystem::path path, absl::Duration lock_timeout)
      : path_(std::move(path)), lock_timeout_(lock_timeout) {}

  // Removes files that were being written, and proves that files can be. Lock held.
  absl::Status Sweep() const;

  std::filesystem::path path_;
  absl::Duration lock_timeout_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_DURABLE_DIRECTORY_H_
