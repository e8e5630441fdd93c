// A real Redis for a test, on a free port of this machine.
#ifndef MIDLAYER_TESTS_SELECTION_REDIS_SERVER_H_
#define MIDLAYER_TESTS_SELECTION_REDIS_SERVER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/selection/child_process.h"
#include "tests/weights/test_files.h"

namespace midlayer {

// Syncs each write before it is answered, so that it may be killed. Not thread-safe; dies with the object.
class RedisServer {
 public:
  // The program, on PATH or where tools/setup.sh puts it; nothing where there is none.
  static std::optional<std::string> Program();

  enum class Transport { kPlain, kTls };
  // With these arguments of redis-server more. Ready when it returns, or Ready() is false.
  explicit RedisServer(std::vector<std::string> arguments = {}, Transport transport = Transport::kPlain);

  bool Ready() const { return ready_; }
  int port() const { return port_; }
  std::string Url() const;

  // As `kill -9`.
  void Kill() { process_->Kill(); }
  // Again, on the same port, with the data that it had.
  void Restart();
  // Stops answering, but keeps its connections, until Continue().
  void Freeze();
  void Continue();

 private:
  bool Start();

  const TempDir dir_;
  const std::vector<std::string> arguments_;
  const Transport transport_;
  int port_ = 0;
  bool ready_ = false;
  std::unique_ptr<ChildProcess> process_;
};

// For the first line of a test.
#define MIDLAYER_SKIP_WITHOUT_REDIS() \
  if (!midlayer::RedisServer::Program()) GTEST_SKIP() << "redis-server not found: tools/setup.sh --tests installs it"

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SELECTION_REDIS_SERVER_H_
