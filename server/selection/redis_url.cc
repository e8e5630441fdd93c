#include "server/selection/redis_url.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

absl::Status Wrong(std::string_view part, std::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("selection store: redis URL: ", ToAbsl(part), ": expected ", ToAbsl(expected)));
}

// Text up to the first `mark` and what comes after it; nothing comes after where there is no mark.
std::pair<std::string_view, std::optional<std::string_view>> Cut(std::string_view text, char mark) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, at), text.substr(at + 1)};
}

absl::StatusOr<std::string> Decode(std::string_view part, std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte == '%') {
      const char* const end = text.data() + std::min(i + 3, text.size());
      if (std::from_chars(text.data() + i + 1, end, byte, 16).ptr != text.data() + i + 3) {
        return Wrong(part, "two hexadecimal digits after each %");
      }
      i += 2;
    }
    // NUL would end the text early in the libraries below.
    if (byte == 0) return Wrong(part, "no NUL");
    decoded.push_back(static_cast<char>(byte));
  }
  return decoded;
}

absl::StatusOr<int> ReadNumber(std::string_view part, std::string_view text, int min, int max) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < min || number > max) {
    return Wrong(part, absl::StrCat("a number from ", min, " to ", max));
  }
  return number;
}

absl::Status ReadLogin(std::string_view text, RedisEndpoint* endpoint) {
  const auto [user, password] = Cut(text, ':');
  MIDLAYER_ASSIGN_OR_RETURN(endpoint->user, Decode("user", user));
  MIDLAYER_ASSIGN_OR_RETURN(endpoint->password, Decode("password", password.value_or("")));
  return absl::OkStatus();
}

absl::Status ReadHost(std::string_view text, RedisEndpoint* endpoint) {
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const auto [address, rest] = Cut(text.substr(1), ']');
    if (!rest || (!rest->empty() && rest->front() != ':'))
      return Wrong("host", "[an IPv6 address], or a colon after it");
    if (!rest->empty()) port = rest->substr(1);
    endpoint->host = address;
  } else {
    std::tie(text, port) = Cut(text, ':');
    endpoint->host = text;
  }
  const std::string& host = endpoint->host;
  const bool right = !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-' || c == ':' || c == '%';
  });
  if (!right) return Wrong("host", "a name or an address");
  if (!port) return absl::OkStatus();
  MIDLAYER_ASSIGN_OR_RETURN(endpoint->port, ReadNumber("port", *port, 1, 65535));
  return absl::OkStatus();
}

absl::Status ReadOptions(std::string_view text, RedisEndpoint* endpoint) {
  const struct {
    std::string_view name;
    std::string* target;
    bool tls_only;
  } options[] = {{"password_file", &endpoint->password_file, false},
                 {"ca", &endpoint->ca, true},
                 {"cert", &endpoint->certificate, true},
                 {"key", &endpoint->key, true},
                 {"sni", &endpoint->server_name, true}};
  std::optional<std::string_view> rest = text;
  while (rest) {
    std::string_view item;
    std::tie(item, rest) = Cut(*rest, '&');
    const auto [name, value] = Cut(item, '=');
    const auto option =
        std::find_if(std::begin(options), std::end(options), [&](const auto& o) { return o.name == name; });
    if (option == std::end(options)) return Wrong("options", "only password_file, ca, cert, key, sni");
    if (option->tls_only && !endpoint->tls) return Wrong(option->name, "rediss:// with it");
    if (!value || value->empty()) return Wrong(option->name, "a value");
    if (!option->target->empty()) return Wrong(option->name, "it once");
    MIDLAYER_ASSIGN_OR_RETURN(*option->target, Decode(option->name, *value));
  }
  return absl::OkStatus();
}

}  // namespace

std::string RedisEndpoint::Name() const {
  const bool brackets = host.find(':') != std::string::npos;
  return absl::StrCat(tls ? "rediss://" : "redis://", brackets ? "[" : "", host, brackets ? "]" : "", ":", port, "/",
                      database);
}

absl::StatusOr<RedisEndpoint> ParseRedisUrl(std::string_view url) {
  RedisEndpoint endpoint;
  endpoint.tls = url.starts_with("rediss://");
  if (!endpoint.tls && !url.starts_with("redis://")) return Wrong("scheme", "redis:// or rediss://");
  url.remove_prefix(endpoint.tls ? 9 : 8);

  const size_t authority_end = url.find_first_of("/?#");
  std::string_view authority = url.substr(0, authority_end);
  const std::string_view rest = authority_end == std::string_view::npos ? "" : url.substr(authority_end);
  // An @ or # here is most likely a piece of a password, which must not be taken for a host and shown.
  if (rest.find_first_of("@#") != std::string_view::npos) {
    return Wrong("password", "/ ? # and @ percent-encoded (%2F %3F %23 %40), there and in values of options");
  }
  const size_t at = authority.rfind('@');
  const bool login = at != std::string_view::npos;
  if (login) {
    MIDLAYER_RETURN_IF_ERROR(ReadLogin(authority.substr(0, at), &endpoint));
    authority.remove_prefix(at + 1);
  }
  MIDLAYER_RETURN_IF_ERROR(ReadHost(authority, &endpoint));

  const auto [path, options] = Cut(rest, '?');
  if (path.size() > 1) {
    MIDLAYER_ASSIGN_OR_RETURN(endpoint.database, ReadNumber("database", path.substr(1), 0, 1 << 20));
  }
  if (options) MIDLAYER_RETURN_IF_ERROR(ReadOptions(*options, &endpoint));
  if (login && endpoint.password.empty() && endpoint.password_file.empty()) {
    return Wrong("password", "[user]:password before the @, or password_file");
  }
  if (!endpoint.password.empty() && !endpoint.password_file.empty()) {
    return Wrong("password_file", "it or a password, not both");
  }
  if (endpoint.certificate.empty() != endpoint.key.empty()) return Wrong("cert", "it together with key");
  return endpoint;
}

}  // namespace midlayer
