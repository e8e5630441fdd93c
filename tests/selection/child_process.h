// A program that a test starts, talks to and kills.
#ifndef MIDLAYER_TESTS_SELECTION_CHILD_PROCESS_H_
#define MIDLAYER_TESTS_SELECTION_CHILD_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace midlayer {

// Not thread-safe. The destructor kills the program; it also dies with the thread that started it.
class ChildProcess {
 public:
  // Runs the file `path` with `arguments` after the program's name; ends the test program where that cannot be done.
  ChildProcess(const std::string& path, const std::string& name, const std::vector<std::string>& arguments);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // To its standard input.
  void Write(std::string_view text);
  // The next line of its standard output, without the line end; nothing at the end. What no line end closes is left
  // out.
  std::optional<std::string> ReadLine();

  void Signal(int signal);
  bool Running();
  // SIGKILL, and waits until it is gone. What it wrote before can still be read.
  void Kill();

 private:
  pid_t pid_ = -1;  // -1 once it is gone
  int input_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SELECTION_CHILD_PROCESS_H_
