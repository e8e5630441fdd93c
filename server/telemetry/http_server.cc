#include "server/telemetry/http_server.h"

#include <CivetServer.h>

#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/why_not_listening.h"

namespace midlayer {

class HttpServer::Handler final : public CivetHandler {
 public:
  void SetPages(std::map<std::string, Page> pages) {
    auto set = std::make_shared<const std::map<std::string, Page>>(std::move(pages));
    std::lock_guard lock(mutex_);
    pages_ = std::move(set);
  }

  bool handleGet(CivetServer*, mg_connection* connection) override {
    const mg_request_info* request = mg_get_request_info(connection);
    const auto pages = Pages();
    const auto page = pages->find(request->local_uri);
    const HttpAnswer answer =
        page != pages->end() ? page->second() : HttpAnswer{.status = 404, .body = "no such page\n"};
    // The pages show nothing that may be kept, framed or mistaken for something else.
    const std::string head =
        absl::StrCat("HTTP/1.1 ", answer.status, " ", mg_get_response_code_text(connection, answer.status),
                     "\r\nContent-Type: ", answer.type, "\r\nContent-Length: ", answer.body.size(),
                     "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\r\n");
    mg_write(connection, head.data(), head.size());
    mg_write(connection, answer.body.data(), answer.body.size());
    return true;
  }

 private:
  std::shared_ptr<const std::map<std::string, Page>> Pages() const {
    std::lock_guard lock(mutex_);
    return pages_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<const std::map<std::string, Page>> pages_ =
      std::make_shared<const std::map<std::string, Page>>();  // guarded by mutex_
};

HttpServer::HttpServer() = default;
HttpServer::~HttpServer() = default;

void HttpServer::SetPages(std::map<std::string, Page> pages) { handler_->SetPages(std::move(pages)); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address) {
  // A connection that sends nothing, or slowly, has a thread until its time is over: so many that a probe finds one.
  // Idle connections are not kept.
  const std::vector<std::string> options = {"listening_ports",    address, "num_threads", "16",
                                            "request_timeout_ms", "2000"};
  std::unique_ptr<HttpServer> server(new HttpServer());
  server->handler_ = std::make_unique<Handler>();
  try {
    server->server_ = std::make_unique<CivetServer>(options);
    server->server_->addHandler("/", *server->handler_);
  } catch (const std::exception& error) {
    const std::string reason = WhyNotListening(address);
    return absl::UnavailableError(absl::StrCat("expected an address that can be listened on, found ", address, " (",
                                               reason.empty() ? error.what() : reason, ")"));
  }
  server->address_ =
      absl::StrCat(address.substr(0, address.rfind(':')), ":", server->server_->getListeningPorts().at(0));
  return server;
}

}  // namespace midlayer
