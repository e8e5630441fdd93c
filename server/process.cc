#include "server/process.h"

#include <fcntl.h>
#include <grpc/support/log.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace midlayer {

namespace {

std::atomic<bool> started = false;
std::atomic<bool> deaf = false;

// A closed standard output would be the number of the next file that is opened, perhaps a connection, and the log would
// be written into it.
void HoldStandardFiles() {
  for (int file = open("/dev/null", O_RDWR); file >= 0; file = open("/dev/null", O_RDWR)) {
    if (file > STDERR_FILENO) {
      close(file);
      return;
    }
  }
}

// Each connection is a file. Where they run out, gRPC takes no connection ever again; the soft limit is often 1024.
void AllowManyFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void LogForGrpc(gpr_log_func_args* line) {
  const bool told = line->severity == GPR_LOG_SEVERITY_ERROR && started;
  spdlog::log(told ? spdlog::level::err : spdlog::level::debug, "gRPC: {}", line->message);
  // In gRPC 1.51 one failure, mostly for want of files, is the end of the listener. It says so nowhere else.
  if (std::string_view(line->message).starts_with("Failed accept4") && !deaf.exchange(true)) {
    spdlog::error("no new connections are taken: start the server again, and allow it more files (ulimit -n)");
  }
}

}  // namespace

void PrepareProcess() {
  HoldStandardFiles();
  AllowManyFiles();
  signal(SIGPIPE, SIG_IGN);
}

void KeepWaitsShort(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", /*replace=*/1);
  setenv("OMP_WAIT_POLICY", "active", /*replace=*/1);  // as long where there are more threads than processors
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error);
  execv(program.c_str(), argv);  // if it fails, waits are as long as they are
}

void LogWhatGrpcSays() { gpr_set_log_function(&LogForGrpc); }

void ServerStarted() { started = true; }

bool TakesConnections() { return !deaf; }

}  // namespace midlayer
