// --selection-store redis://…: what was read and is written out again reads the same, and no error repeats what came.
#include "server/selection/redis_url.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

// Every byte percent-encoded.
std::string Encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    absl::StrAppend(&encoded, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
  }
  return encoded;
}

std::string Url(const RedisEndpoint& endpoint) {
  std::string url = endpoint.tls ? "rediss://" : "redis://";
  const bool login = !endpoint.user.empty() || !endpoint.password.empty();
  if (login) absl::StrAppend(&url, Encoded(endpoint.user), ":", Encoded(endpoint.password), "@");
  absl::StrAppend(&url, "[", endpoint.host, "]:", endpoint.port, "/", endpoint.database);
  const std::pair<const char*, const std::string&> options[] = {{"password_file", endpoint.password_file},
                                                                {"ca", endpoint.ca},
                                                                {"cert", endpoint.certificate},
                                                                {"key", endpoint.key},
                                                                {"sni", endpoint.server_name}};
  char mark = '?';
  for (const auto& [name, value] : options) {
    if (value.empty()) continue;
    absl::StrAppend(&url, std::string(1, std::exchange(mark, '&')), name, "=", Encoded(value));
  }
  return url;
}

bool Same(const RedisEndpoint& a, const RedisEndpoint& b) {
  const auto all = [](const RedisEndpoint& e) {
    return std::tie(e.tls, e.host, e.port, e.database, e.user, e.password, e.password_file, e.ca, e.certificate, e.key,
                    e.server_name);
  };
  return all(a) == all(b);
}

void Check(std::string_view text) {
  const absl::StatusOr<RedisEndpoint> endpoint = ParseRedisUrl(text);
  if (!endpoint.ok()) {
    fuzz::RequireError(endpoint.status(), {absl::StatusCode::kInvalidArgument},
                       "^selection store: redis URL: [a-z_]+: expected [][ -Z_a-z%()]+$");
    return;
  }
  const absl::StatusOr<RedisEndpoint> again = ParseRedisUrl(Url(*endpoint));
  fuzz::Require(again.ok() && Same(*endpoint, *again), "the same endpoint from what it was written as");
  const absl::StatusOr<RedisEndpoint> named = ParseRedisUrl(endpoint->Name());
  fuzz::Require(named.ok() && named->Name() == endpoint->Name(), "a name that is a URL without secrets");
  fuzz::Require(named->password.empty() && named->user.empty(), "no login in the name");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
