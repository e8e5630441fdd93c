// Where a Redis is and how to get in.
#ifndef MIDLAYER_SERVER_SELECTION_REDIS_URL_H_
#define MIDLAYER_SERVER_SELECTION_REDIS_URL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace midlayer {

struct RedisEndpoint {
  bool tls = false;
  std::string host;
  int port = 6379;
  int database = 0;
  std::string user;           // empty: Redis' default user
  std::string password;       // empty: none, or that in password_file
  std::string password_file;  // empty: none
  // TLS. Files in PEM.
  std::string ca;           // empty: those that the system trusts
  std::string certificate;  // of this client; empty: none
  std::string key;
  std::string server_name;  // asked for and expected in the server's certificate; empty: host

  // "redis://host:port/database": no secrets.
  std::string Name() const;
};

// Reads "redis://[[user][:password]@]host[:port][/database][?option=value&…]", or "rediss://…" for TLS; user, password
// and values may be percent-encoded, an IPv6 address stands in brackets. Options: password_file, and for rediss ca,
// cert, key and sni. INVALID_ARGUMENT tells the part that is wrong and what was expected there, and never repeats what
// came: where a password was not encoded, any part may be a piece of it.
absl::StatusOr<RedisEndpoint> ParseRedisUrl(std::string_view url);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_REDIS_URL_H_
