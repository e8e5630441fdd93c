// Pages over real sockets.
#include "server/telemetry/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/status_page.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Everything that comes back for these bytes.
std::string Exchange(const std::string& address, const std::string& request) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  EXPECT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  EXPECT_EQ(write(socket, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t size = 0; (size = read(socket, buffer, sizeof buffer)) > 0;)
    answer.append(buffer, static_cast<size_t>(size));
  close(socket);
  return answer;
}

std::string Get(const std::string& address, const std::string& path) {
  return Exchange(address, absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
}

TEST(HttpServerTest, AnswersItsPagesOnly) {
  const auto server = HttpServer::Start("127.0.0.1:0").value();
  EXPECT_THAT(Get(server->address(), "/one"), StartsWith("HTTP/1.1 404 ")) << "there are no pages yet";
  server->SetPages({{"/one", [] { return HttpAnswer{.body = "first\n"}; }},
                    {"/two", [] { return HttpAnswer{.status = 503, .type = "text/html", .body = "second"}; }}});
  const std::string one = Get(server->address(), "/one");
  EXPECT_THAT(one, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(one, HasSubstr("Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"));
  EXPECT_THAT(one, testing::EndsWith("\r\n\r\nfirst\n"));
  EXPECT_THAT(Get(server->address(), "/two"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(Get(server->address(), "/one?x=1"), StartsWith("HTTP/1.1 200 "));
  for (const char* path : {"/", "/three", "/one/", "/two/../three", "/%00"}) {
    EXPECT_THAT(Get(server->address(), path), testing::Not(StartsWith("HTTP/1.1 200"))) << path;
  }
}

TEST(HttpServerTest, OtherMethodsAndNonsenseAreRefused) {
  const auto server = HttpServer::Start("127.0.0.1:0").value();
  server->SetPages({{"/", [] { return HttpAnswer{.body = "page"}; }}});
  EXPECT_THAT(
      Exchange(server->address(), "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
      StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Exchange(server->address(), "nonsense\r\n\r\n"), HasSubstr("400 Bad Request"));
  EXPECT_THAT(Get(server->address(), "/"), HasSubstr("page")) << "it goes on";
}

TEST(HttpServerTest, AnAddressThatIsTakenIsTold) {
  const auto server = HttpServer::Start("127.0.0.1:0").value();
  for (const std::string& address : {server->address(), std::string("nonsense")}) {
    const absl::Status status = HttpServer::Start(address).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("found " + address));
  }
}

TEST(StatusPageTest, FactsAreText) {
  const std::string page = StatusPage({{"model", "<script>alert(\"x\")</script> & more"}});
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; more"));
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  for (const char* load : {"src=", "href=", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(load))) << "nothing is loaded from elsewhere";
  }
}

}  // namespace
}  // namespace midlayer
