// midlayer: the command-line client.
#include <fcntl.h>
#include <grpc/support/log.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <variant>
#include <vector>

#include "client/cli/console.h"
#include "client/cli/flags.h"
#include "client/cli/interrupt.h"
#include "google/protobuf/stubs/logging.h"

namespace midlayer::cli {
namespace {

bool IsPlainFile(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

double BytesLeft(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const off_t position = lseek(fd, 0, SEEK_CUR);
  return position >= 0 && position < info.st_size ? static_cast<double>(info.st_size - position) : 0;
}

size_t TerminalWidth(int fd) {
  constexpr size_t kDefault = 100;
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefault;
}

Console StandardConsole() {
  return {.in = &std::cin,
          .out = &std::cout,
          .err = &std::cerr,
          .out_is_seekable = IsPlainFile(STDOUT_FILENO) && (fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) == 0,
          .show_progress = isatty(STDERR_FILENO) != 0 && isatty(STDOUT_FILENO) == 0,
          .err_is_terminal = isatty(STDERR_FILENO) != 0,
          .width = TerminalWidth(STDOUT_FILENO),
          .in_bytes = BytesLeft(STDIN_FILENO)};
}

struct Runner {
  Console console;

  int operator()(int code) const { return code; }
  int operator()(const EmbedOptions& options) const { return RunEmbed(options, console); }
  int operator()(const SimilarityOptions& options) const { return RunSimilarity(options, console); }
  int operator()(const InfoOptions& options) const { return RunInfo(options, console); }
  int operator()(const HealthOptions& options) const { return RunHealth(options, console); }
  int operator()(const ScoreOptions& options) const { return RunScore(options, console); }
  int operator()(const ReportOptions& options) const { return RunReport(options, console); }
  int operator()(const SelectionsOptions& options) const { return RunSelections(options, console); }
  int operator()(const CompareOptions& options) const { return RunCompare(options, console); }
  int operator()(const BenchOptions& options) const { return RunBench(options, console); }
};

int Main(std::vector<std::string> arguments) {
  std::ios::sync_with_stdio(false);  // else standard input cannot tell whether it has more (TextSource::HasMoreNow)
  std::cin.tie(nullptr);             // read on another thread than the one that writes
  std::signal(SIGPIPE, SIG_DFL);     // `midlayer … | head` ends quietly, whatever the parent process had set
  // What gRPC and protobuf would say on standard error reaches the user as a status.
  gpr_set_log_function([](gpr_log_func_args*) {});
  google::protobuf::SetLogHandler(nullptr);
  CatchInterrupts();
  return std::visit(Runner{StandardConsole()}, ParseCommand(std::move(arguments), std::cout, std::cerr));
}

}  // namespace
}  // namespace midlayer::cli

int main(int argc, char** argv) {
  const int code = midlayer::cli::Main(std::vector<std::string>(argv + 1, argv + argc));
  std::cout.flush();
  // A thread may still wait for standard input (see EmbedPipeline); it must not meet destructors of static objects.
  std::_Exit(code);
}
