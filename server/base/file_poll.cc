#include "server/base/file_poll.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace midlayer {

FilePoll::FilePoll(std::filesystem::path file, absl::Duration interval, std::function<void()> on_change)
    : file_(std::move(file)),
      on_change_(std::move(on_change)),
      seen_(Look()),
      thread_([this, interval] { Loop(interval); }) {}

FilePoll::~FilePoll() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::string FilePoll::Look() const {
  struct stat now{};
  if (stat(file_.c_str(), &now) != 0) return "";
  return absl::StrCat(now.st_dev, " ", now.st_ino, " ", now.st_size, " ", now.st_mtim.tv_sec, ".", now.st_mtim.tv_nsec,
                      " ", now.st_ctim.tv_sec, ".", now.st_ctim.tv_nsec);
}

void FilePoll::Loop(absl::Duration interval) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, absl::ToChronoNanoseconds(interval), [this] { return ends_; })) {
    std::string now = Look();
    if (now.empty() || now == seen_) continue;
    seen_ = std::move(now);
    lock.unlock();
    on_change_();
    lock.lock();
  }
}

}  // namespace midlayer
