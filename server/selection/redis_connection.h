// Connections to one Redis, through hiredis.
#ifndef MIDLAYER_SERVER_SELECTION_REDIS_CONNECTION_H_
#define MIDLAYER_SERVER_SELECTION_REDIS_CONNECTION_H_

#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/selection/redis_url.h"

namespace midlayer {

struct FreeRedisReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

// A Lua script, which Redis runs as one step.
class RedisScript {
 public:
  explicit RedisScript(std::string_view text);
  const std::string& text() const { return text_; }
  const std::string& sha1() const { return sha1_; }

 private:
  std::string text_;
  std::string sha1_;
};

// One connection, logged in. Not thread-safe. All errors are UNAVAILABLE and name host and port.
class RedisConnection {
 public:
  using Arguments = std::vector<std::string_view>;

  // Sends a command and waits for its answer. An answer that is an error is one here too.
  absl::StatusOr<RedisReply> Command(const Arguments& arguments);
  // Runs a script by its digest, with its text where Redis does not know it yet.
  absl::StatusOr<RedisReply> Eval(const RedisScript& script, const Arguments& keys, const Arguments& arguments);

  // Takes what Redis sent without being asked; for a subscription whose fd() can be read.
  absl::Status Drain();
  int fd() const { return context_->fd; }
  // False once an error ended the connection (an answer that is an error does not), or Redis closed it.
  bool Usable() const;

 private:
  friend class RedisConnector;

  struct FreeContext {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  using Context = std::unique_ptr<redisContext, FreeContext>;

  RedisConnection(std::string name, std::string password, Context context)
      : name_(std::move(name)), password_(std::move(password)), context_(std::move(context)) {}

  // Like Command(), but an answer that is an error is returned.
  absl::StatusOr<RedisReply> Send(const Arguments& arguments);
  // The reason why the connection ended.
  absl::Status Lost() const;
  // What Redis answered, as an error.
  absl::Status Refused(const redisReply& error) const;

  const std::string name_;
  const std::string password_;
  const Context context_;
};

// Makes connections. After a failure, connecting fails at once for a while, which grows from 50 ms to 0.5 s: a Redis
// that is gone makes nobody wait for long, and is not run over when it comes back. Thread-safe.
class RedisConnector {
 public:
  struct Timeouts {
    absl::Duration connect, command;
  };

  // FAILED_PRECONDITION where a file that the endpoint names cannot be used. Does not connect yet.
  static absl::StatusOr<std::unique_ptr<RedisConnector>> Create(RedisEndpoint endpoint, Timeouts timeouts);

  const std::string& name() const { return name_; }
  absl::StatusOr<std::unique_ptr<RedisConnection>> Connect();
  // How long connecting still fails at once; zero where it is tried.
  absl::Duration BackOff() const;

 private:
  struct FreeTls {
    void operator()(redisSSLContext* tls) const { redisFreeSSLContext(tls); }
  };

  RedisConnector(RedisEndpoint endpoint, Timeouts timeouts)
      : endpoint_(std::move(endpoint)), name_(endpoint_.Name()), timeouts_(timeouts) {}

  absl::Status LoadTls();
  // Read anew for each connection: it may be replaced while the server runs.
  absl::StatusOr<std::string> Password() const;
  absl::StatusOr<std::unique_ptr<RedisConnection>> TryConnect() const;
  absl::Status LogIn(RedisConnection* connection) const;

  const RedisEndpoint endpoint_;
  const std::string name_;
  const Timeouts timeouts_;
  std::unique_ptr<redisSSLContext, FreeTls> tls_;  // null without TLS; constant after Create()

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  int failures_ = 0;  // in a row
  std::chrono::steady_clock::time_point try_again_;
  absl::Status last_failure_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_REDIS_CONNECTION_H_
