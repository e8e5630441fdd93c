// A few pages over HTTP, for Prometheus, probes and people.
#ifndef MIDLAYER_SERVER_TELEMETRY_HTTP_SERVER_H_
#define MIDLAYER_SERVER_TELEMETRY_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

class CivetServer;

namespace midlayer {

struct HttpAnswer {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

// Answers GET of each page's path and 404 for the rest, on threads of its own, until it is destroyed. Thread-safe.
class HttpServer {
 public:
  using Page = std::function<HttpAnswer()>;  // thread-safe; must not block

  // UNAVAILABLE where `address` (HOST:PORT, port 0: any free one) cannot be listened on. There are no pages yet.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address);
  ~HttpServer();

  // From now on these, by their paths.
  void SetPages(std::map<std::string, Page> pages);

  // Host and port, the real one where port 0 was asked for.
  const std::string& address() const { return address_; }

 private:
  class Handler;
  HttpServer();

  std::string address_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<CivetServer> server_;  // last: its threads call the handler
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TELEMETRY_HTTP_SERVER_H_
