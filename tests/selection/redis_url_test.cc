#include "server/selection/redis_url.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RedisUrlTest, Names) {
  const std::pair<const char*, const char*> cases[] = {
      {"redis://cache", "redis://cache:6379/0"},
      {"redis://cache/", "redis://cache:6379/0"},
      {"rediss://cache", "rediss://cache:6379/0"},
      {"redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3"},
      {"redis://[::1]", "redis://[::1]:6379/0"},
      {"redis://[fe80::1%25eth0]:7000/1", "redis://[fe80::1%25eth0]:7000/1"},
      {"redis://:secret@cache:1", "redis://cache:1/0"},
      {"redis://me:secret@cache", "redis://cache:6379/0"},
      {"redis://me:se@cret@cache", "redis://cache:6379/0"},
      {"redis://me@cache?password_file=/run/secret", "redis://cache:6379/0"},
      {"rediss://cache/2?ca=a&cert=b&key=c&sni=d", "rediss://cache:6379/2"},
  };
  for (const auto& [url, name] : cases) {
    const auto endpoint = ParseRedisUrl(url);
    ASSERT_TRUE(endpoint.ok()) << url << ": " << endpoint.status();
    EXPECT_EQ(endpoint->Name(), name) << url;
  }
}

TEST(RedisUrlTest, Parts) {
  const auto endpoint = ParseRedisUrl("rediss://m%65:a%2Fb%3fc%23%40:%25@h.x:7/4?ca=/c%20a&cert=%2Fb&key=k&sni=name");
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_TRUE(endpoint->tls);
  EXPECT_EQ(endpoint->user, "me");
  EXPECT_EQ(endpoint->password, "a/b?c#@:%");
  EXPECT_EQ(endpoint->host, "h.x");
  EXPECT_EQ(endpoint->port, 7);
  EXPECT_EQ(endpoint->database, 4);
  EXPECT_EQ(endpoint->ca, "/c a");
  EXPECT_EQ(endpoint->certificate, "/b");
  EXPECT_EQ(endpoint->key, "k");
  EXPECT_EQ(endpoint->server_name, "name");
}

// Whatever is wrong: the message says where, and has no piece of the URL, as any may be one of a password.
TEST(RedisUrlTest, Refused) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://hunter2", "scheme: expected redis:// or rediss://"},
      {"redis://", "host: expected"},
      {"redis://:6379", "host: expected"},
      {"redis://hun ter2", "host: expected"},
      {"redis://[::1", "host: expected"},
      {"redis://[::1]hunter2", "host: expected"},
      {"redis://:hunter2@", "host: expected"},
      {"redis://host:hunter2", "port: expected a number from 1 to 65535"},
      {"redis://host:", "port: expected"},
      {"redis://host:0", "port: expected"},
      {"redis://host:65536", "port: expected"},
      {"redis://host:99999999999", "port: expected"},
      {"redis://host:-1", "port: expected"},
      {"redis://host/hunter2", "database: expected a number from 0"},
      {"redis://host/1/2", "database: expected"},
      {"redis://user@host", "password: expected [user]:password"},
      {"redis://@host", "password: expected"},
      {"redis://user:@host", "password: expected"},
      {"redis://user:hunter%2@host", "password: expected two hexadecimal digits"},
      {"redis://user:hunter%", "port: expected"},
      {"redis://user:hunter%zz@host", "password: expected two hexadecimal digits"},
      {"redis://user:hunter%00@host", "password: expected no NUL"},
      // A password that was not encoded.
      {"redis://user:hunter2/x@host", "password: expected / ? # and @ percent-encoded"},
      {"redis://hunter2/x@host", "password: expected / ? # and @ percent-encoded"},
      {"redis://user:hunter2#x@host", "password: expected / ? # and @ percent-encoded"},
      {"redis://user:hunter2?x@host", "password: expected / ? # and @ percent-encoded"},
      {"redis://host#hunter2", "password: expected / ? # and @ percent-encoded"},
      {"redis://host?hunter2=1", "options: expected only password_file, ca, cert, key, sni"},
      {"redis://host?", "options: expected only"},
      {"redis://host?ca=hunter2", "ca: expected rediss://"},
      {"redis://host?sni=hunter2", "sni: expected rediss://"},
      {"rediss://host?ca=", "ca: expected a value"},
      {"rediss://host?ca", "ca: expected a value"},
      {"rediss://host?ca=hunter2&ca=hunter2", "ca: expected it once"},
      {"rediss://host?cert=hunter2", "cert: expected it together with key"},
      {"rediss://host?key=hunter2", "cert: expected it together with key"},
      {"redis://:hunter2@host?password_file=hunter2", "password_file: expected it or a password, not both"},
  };
  for (const auto& [url, expected] : cases) {
    const absl::Status status = ParseRedisUrl(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected)) << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hun"))) << url;
  }
}

}  // namespace
}  // namespace midlayer
