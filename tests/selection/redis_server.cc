#include "tests/selection/redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/selection/records.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

// Nobody listens on it now; somebody may before it is used.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  const bool ok = bind(fd, raw, size) == 0 && getsockname(fd, raw, &size) == 0;
  close(fd);
  return ok ? ntohs(address.sin_port) : 0;
}

}  // namespace

std::optional<std::string> RedisServer::Program() {
  const char* const path = std::getenv("PATH");
  std::stringstream folders(absl::StrCat(path == nullptr ? "" : path, ":", MIDLAYER_SOURCE_DIR, "/.deps/bin"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path program = fs::path(folder) / "redis-server";
    if (!folder.empty() && access(program.c_str(), X_OK) == 0) return program.string();
  }
  return std::nullopt;
}

RedisServer::RedisServer(std::vector<std::string> arguments, Transport transport)
    : arguments_(std::move(arguments)), transport_(transport) {
  for (int i = 0; i < 10 && !ready_; ++i) {
    port_ = FreePort();
    ready_ = Start();
  }
}

std::string RedisServer::Url() const { return absl::StrCat("redis://127.0.0.1:", port_); }

void RedisServer::Restart() {
  process_->Kill();
  ready_ = Start();
}

void RedisServer::Freeze() { process_->Signal(SIGSTOP); }

void RedisServer::Continue() { process_->Signal(SIGCONT); }

bool RedisServer::Start() {
  const fs::path log = dir_.path() / "log";
  fs::remove(log);
  std::vector<std::string> all = {
      transport_ == Transport::kTls ? "--tls-port" : "--port",
      absl::StrCat(port_),
      "--bind",
      "127.0.0.1",
      "--dir",
      dir_.path().string(),
      "--logfile",
      log.string(),
      "--save",
      "",
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
  };
  if (transport_ == Transport::kTls) all.insert(all.end(), {"--port", "0"});
  all.insert(all.end(), arguments_.begin(), arguments_.end());
  process_ = std::make_unique<ChildProcess>(*Program(), "redis-server", all);
  const auto logged_ready = [&] {
    std::ifstream file(log);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return text.find("Ready to accept connections") != std::string::npos;
  };
  bool ready = false;
  Eventually([&] { return (ready = logged_ready()) || !process_->Running(); });
  return ready;
}

}  // namespace midlayer
