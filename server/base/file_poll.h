// Tells when a file has changed.
#ifndef MIDLAYER_SERVER_BASE_FILE_POLL_H_
#define MIDLAYER_SERVER_BASE_FILE_POLL_H_

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace midlayer {

// Looks at a file again and again, on a thread of its own: also where it lies on a network or is exchanged by a link to
// another directory, as Kubernetes does with secrets, of which inotify tells nothing.
class FilePoll {
 public:
  // Calls `on_change` whenever the file has another identity, size or time of change than at the last look, the first
  // of which is in the constructor; not while there is no file.
  FilePoll(std::filesystem::path file, absl::Duration interval, std::function<void()> on_change);
  ~FilePoll();

 private:
  // Empty where there is none.
  std::string Look() const;
  void Loop(absl::Duration interval);

  const std::filesystem::path file_;
  const std::function<void()> on_change_;
  std::string seen_;  // of thread_, once it runs

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_FILE_POLL_H_
