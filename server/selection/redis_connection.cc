#include "server/selection/redis_connection.h"

#include <openssl/evp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/base/status.h"

static_assert(HIREDIS_MAJOR >= 1, "hiredis 1 or newer, from tools/setup.sh");

namespace midlayer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstBackOff(50), kLongestBackOff(500);
constexpr int kKeepAliveSeconds = 15;

std::string SystemMessage(int error) { return std::generic_category().message(error); }

}  // namespace

RedisScript::RedisScript(std::string_view text) : text_(text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  // Where a policy forbids SHA-1 the name is empty, Redis does not know it, and is sent the text each time.
  EVP_Digest(text_.data(), text_.size(), digest.data(), &size, EVP_sha1(), nullptr);
  sha1_ = absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

absl::Status RedisConnection::Lost() const {
  std::string reason = context_->errstr;
  // What a socket says whose time is up.
  if (reason.find(SystemMessage(EAGAIN)) != std::string::npos) reason = "no answer in time";
  return absl::UnavailableError(absl::StrCat(name_, ": ", reason.empty() ? "the connection was lost" : reason));
}

absl::Status RedisConnection::Refused(const redisReply& error) const {
  std::string text(error.str, error.len);
  // Redis repeats the arguments of a command that it does not know.
  if (!password_.empty()) text = absl::StrReplaceAll(text, {{password_, "***"}});
  return absl::UnavailableError(absl::StrCat(name_, ": Redis answered: ", text));
}

absl::StatusOr<RedisReply> RedisConnection::Send(const Arguments& arguments) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  for (const std::string_view argument : arguments) {
    texts.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  RedisReply reply(static_cast<redisReply*>(
      redisCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data())));
  if (reply == nullptr) return Lost();
  return reply;
}

absl::StatusOr<RedisReply> RedisConnection::Command(const Arguments& arguments) {
  MIDLAYER_ASSIGN_OR_RETURN(RedisReply reply, Send(arguments));
  if (reply->type == REDIS_REPLY_ERROR) return Refused(*reply);
  return reply;
}

absl::StatusOr<RedisReply> RedisConnection::Eval(const RedisScript& script, const Arguments& keys,
                                                 const Arguments& arguments) {
  const std::string count = absl::StrCat(keys.size());
  Arguments command = {"EVALSHA", script.sha1(), count};
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), arguments.begin(), arguments.end());
  MIDLAYER_ASSIGN_OR_RETURN(RedisReply reply, Send(command));
  if (reply->type != REDIS_REPLY_ERROR) return reply;
  if (!std::string_view(reply->str, reply->len).starts_with("NOSCRIPT")) return Refused(*reply);
  command[0] = "EVAL";
  command[1] = script.text();
  return Command(command);
}

absl::Status RedisConnection::Drain() {
  if (redisBufferRead(context_.get()) != REDIS_OK) return Lost();
  while (true) {
    void* message = nullptr;
    if (redisGetReplyFromReader(context_.get(), &message) != REDIS_OK) return Lost();
    if (message == nullptr) return absl::OkStatus();
    freeReplyObject(message);
  }
}

bool RedisConnection::Usable() const {
  if (context_->err != 0) return false;
  pollfd state = {context_->fd, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 0;
}

absl::StatusOr<std::unique_ptr<RedisConnector>> RedisConnector::Create(RedisEndpoint endpoint, Timeouts timeouts) {
  std::unique_ptr<RedisConnector> connector(new RedisConnector(std::move(endpoint), timeouts));
  MIDLAYER_RETURN_IF_ERROR(connector->Password().status());
  if (connector->endpoint_.tls) MIDLAYER_RETURN_IF_ERROR(connector->LoadTls());
  return connector;
}

absl::Status RedisConnector::LoadTls() {
  for (const std::string* file : {&endpoint_.ca, &endpoint_.certificate, &endpoint_.key}) {
    if (file->empty() || access(file->c_str(), R_OK) == 0) continue;
    return absl::FailedPreconditionError(absl::StrCat(name_, ": ", *file, ": ", SystemMessage(errno)));
  }
  const auto or_null = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  const std::string& server = endpoint_.server_name.empty() ? endpoint_.host : endpoint_.server_name;
  redisSSLOptions options = {};
  options.cacert_filename = or_null(endpoint_.ca);
  options.cert_filename = or_null(endpoint_.certificate);
  options.private_key_filename = or_null(endpoint_.key);
  options.server_name = server.c_str();
  options.verify_mode = REDIS_SSL_VERIFY_PEER;
  options.verify_name = server.c_str();
  redisSSLContextError error = REDIS_SSL_CTX_NONE;
  tls_.reset(redisCreateSSLContextWithOptions(&options, &error));
  if (tls_ != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(name_, ": TLS: ", redisSSLContextGetError(error),
                                                    " (ca: ", endpoint_.ca, ", cert: ", endpoint_.certificate,
                                                    ", key: ", endpoint_.key, ")"));
}

absl::StatusOr<std::string> RedisConnector::Password() const {
  if (endpoint_.password_file.empty()) return endpoint_.password;
  std::ifstream file(endpoint_.password_file, std::ios::binary);
  std::string password((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
  if (!password.empty()) return password;
  return absl::FailedPreconditionError(
      absl::StrCat(name_, ": password_file: ", endpoint_.password_file, ": expected a file with a password"));
}

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnector::Connect() {
  {
    std::lock_guard lock(mutex_);
    if (Clock::now() < try_again_) return last_failure_;
  }
  absl::StatusOr<std::unique_ptr<RedisConnection>> connection = TryConnect();
  std::lock_guard lock(mutex_);
  if (connection.ok()) {
    failures_ = 0;
    try_again_ = Clock::time_point();
  } else {
    try_again_ = Clock::now() + std::min(kFirstBackOff * (1 << std::min(failures_++, 10)), kLongestBackOff);
    last_failure_ = connection.status();
  }
  return connection;
}

absl::Duration RedisConnector::BackOff() const {
  std::lock_guard lock(mutex_);
  return std::max(absl::FromChrono(try_again_ - Clock::now()), absl::ZeroDuration());
}

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnector::TryConnect() const {
  const absl::StatusOr<std::string> password = Password();
  if (!password.ok()) return absl::UnavailableError(password.status().message());
  const timeval connect_timeout = absl::ToTimeval(timeouts_.connect);
  const timeval command_timeout = absl::ToTimeval(timeouts_.command);
  redisOptions options = {};
  REDIS_OPTIONS_SET_TCP(&options, endpoint_.host.c_str(), endpoint_.port);
  options.options = REDIS_OPT_SET_SOCK_CLOEXEC | REDIS_OPT_PREFER_IP_UNSPEC;
  options.connect_timeout = &connect_timeout;
  options.command_timeout = &command_timeout;
  RedisConnection::Context context(redisConnectWithOptions(&options));
  if (context == nullptr) return absl::UnavailableError(absl::StrCat(name_, ": out of memory"));
  auto connection = std::unique_ptr<RedisConnection>(new RedisConnection(name_, *password, std::move(context)));
  redisContext* const raw = connection->context_.get();
  if (raw->err != 0) return connection->Lost();
  if (tls_ != nullptr && redisInitiateSSLWithContext(raw, tls_.get()) != REDIS_OK) return connection->Lost();
  // A subscription would not notice otherwise that the other machine is gone.
  redisEnableKeepAliveWithInterval(raw, kKeepAliveSeconds);
  MIDLAYER_RETURN_IF_ERROR(LogIn(connection.get()));
  return connection;
}

absl::Status RedisConnector::LogIn(RedisConnection* connection) const {
  if (!connection->password_.empty()) {
    RedisConnection::Arguments login = {"AUTH", connection->password_};
    if (!endpoint_.user.empty()) login.insert(login.begin() + 1, endpoint_.user);
    MIDLAYER_RETURN_IF_ERROR(connection->Command(login).status());
  }
  const std::string database = absl::StrCat(endpoint_.database);
  return connection->Command({"SELECT", database}).status();
}

}  // namespace midlayer
