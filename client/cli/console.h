// What a command shares with the world around it: its streams, and the exit codes that help texts promise.
#ifndef MIDLAYER_CLIENT_CLI_CONSOLE_H_
#define MIDLAYER_CLIENT_CLI_CONSOLE_H_

#include <cstddef>
#include <istream>
#include <ostream>

namespace midlayer::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,         // the server refused, or something failed
  kExitUsage = 2,          // the command line makes no sense
  kExitUnreachable = 3,    // no server there
  kExitInterrupted = 130,  // Ctrl-C
};

// Not owned; the streams must outlive the program's threads, which for a command that was interrupted means: for ever.
struct Console {
  std::istream* in;
  std::ostream* out;
  std::ostream* err;
  bool out_is_seekable = false;  // `out` can be rewritten at an earlier place: a plain file, not opened for appending
  bool show_progress = false;    // `err` is a terminal that `out` does not write on as well
  bool err_is_terminal = false;  // `out` may be the same one: for commands that write only at the end
  size_t width = 100;            // columns of `out`
  double in_bytes = 0;           // size of `in`, 0 where it is not a plain file
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_CONSOLE_H_
