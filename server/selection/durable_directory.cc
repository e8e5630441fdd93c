#include "server/selection/durable_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

constexpr char kLockFile[] = "lock";
constexpr char kBeingWritten[] = ".tmp";

std::string Reason(int error) { return std::generic_category().message(error); }

absl::Status Failed(const fs::path& file, std::string_view what) {
  const std::string reason = Reason(errno);
  return absl::UnavailableError(absl::StrCat(file.string(), ": cannot ", ToAbsl(what), ": ", reason));
}

// Calls a function of the system again where a signal came between.
template <typename Call>
auto Retry(Call call) {
  while (true) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

FileDescriptor OpenFile(const fs::path& path, int flags) {
  return FileDescriptor(Retry([&] { return open(path.c_str(), flags | O_CLOEXEC, 0666); }));
}

absl::Status SyncDirectory(const fs::path& path) {
  const FileDescriptor directory = OpenFile(path, O_RDONLY | O_DIRECTORY);
  if (!directory.ok()) return Failed(path, "open");
  if (Retry([&] { return fsync(directory.get()); }) != 0) return Failed(path, "sync");
  return absl::OkStatus();
}

absl::Status WriteAndSync(const fs::path& path, std::string_view bytes) {
  const FileDescriptor file = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.ok()) return Failed(path, "open");
  while (!bytes.empty()) {
    const ssize_t written = Retry([&] { return write(file.get(), bytes.data(), bytes.size()); });
    if (written < 0) return Failed(path, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (Retry([&] { return fsync(file.get()); }) != 0) return Failed(path, "sync");
  return absl::OkStatus();
}

// Makes `path` and what is missing above it, and syncs the directories that name a new one.
absl::Status MakeDirectory(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return absl::OkStatus();
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (parent != path) MIDLAYER_RETURN_IF_ERROR(MakeDirectory(parent));
  // Another process may make it at the same time.
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) return Failed(path, "make the directory");
  return SyncDirectory(parent);
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<DurableDirectory> DurableDirectory::Open(const fs::path& path, absl::Duration lock_timeout) {
  const DurableDirectory directory(path, lock_timeout);
  absl::Status status = MakeDirectory(path);
  if (status.ok()) {
    const absl::StatusOr<Lock> lock = directory.TakeLock();
    status = lock.ok() ? directory.Sweep() : lock.status();
  }
  if (status.ok()) return directory;
  return absl::FailedPreconditionError(
      absl::StrCat(path.string(), ": expected a directory that this process may write to; ", status.message()));
}

absl::StatusOr<DurableDirectory::Lock> DurableDirectory::TakeLock() const {
  const fs::path path = path_ / kLockFile;
  FileDescriptor file = OpenFile(path, O_RDWR | O_CREAT);
  if (!file.ok()) return Failed(path, "open");
  // A lock of its own for each open file, so that threads exclude each other as processes do. The kernel has no wait
  // with an end for it.
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoMicroseconds(lock_timeout_);
  std::chrono::microseconds pause(100);
  while (Retry([&] { return flock(file.get(), LOCK_EX | LOCK_NB); }) != 0) {
    if (errno != EWOULDBLOCK) return Failed(path, "lock");
    if (std::chrono::steady_clock::now() >= end) {
      return absl::UnavailableError(
          absl::StrCat(path.string(), ": another process held the lock for ", absl::FormatDuration(lock_timeout_)));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(5000));
  }
  return file;
}

absl::StatusOr<std::string> DurableDirectory::Read(const std::string& name) const {
  const fs::path path = path_ / name;
  // Not to wait where the name is one of a pipe.
  const FileDescriptor file = OpenFile(path, O_RDONLY | O_NONBLOCK);
  if (!file.ok() && errno == ENOENT) return absl::NotFoundError(absl::StrCat(path.string(), ": no such file"));
  if (!file.ok()) return Failed(path, "open");
  std::string bytes;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t count = Retry([&] { return read(file.get(), buffer.data(), buffer.size()); });
    if (count < 0) return Failed(path, "read");
    if (count == 0) return bytes;
    bytes.append(buffer.data(), static_cast<size_t>(count));
  }
}

absl::Status DurableDirectory::Write(const std::string& name, std::string_view bytes) const {
  const fs::path path = path_ / name, beside = path_ / (name + kBeingWritten);
  MIDLAYER_RETURN_IF_ERROR(WriteAndSync(beside, bytes));
  if (rename(beside.c_str(), path.c_str()) != 0) return Failed(path, "rename");
  return SyncDirectory(path_);
}

absl::Status DurableDirectory::Remove(const std::string& name) const {
  const fs::path path = path_ / name;
  if (unlink(path.c_str()) != 0) return errno == ENOENT ? absl::OkStatus() : Failed(path, "remove");
  return SyncDirectory(path_);
}

absl::StatusOr<std::vector<std::string>> DurableDirectory::Names() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (!name.ends_with(kBeingWritten)) names.push_back(std::move(name));
  }
  if (error) return absl::UnavailableError(absl::StrCat(path_.string(), ": cannot list: ", error.message()));
  return names;
}

absl::Status DurableDirectory::Sweep() const {
  std::vector<fs::path> left_behind;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().native().ends_with(kBeingWritten)) left_behind.push_back(entry->path());
  }
  if (error) return absl::UnavailableError(absl::StrCat(path_.string(), ": cannot list: ", error.message()));
  const fs::path probe = path_ / absl::StrCat("probe", kBeingWritten);
  MIDLAYER_RETURN_IF_ERROR(WriteAndSync(probe, "probe"));
  left_behind.push_back(probe);
  for (const fs::path& path : left_behind) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failed(path, "remove");
  }
  return SyncDirectory(path_);
}

}  // namespace midlayer
