// The page for people at / of the HTTP port.
#ifndef MIDLAYER_SERVER_TELEMETRY_STATUS_PAGE_H_
#define MIDLAYER_SERVER_TELEMETRY_STATUS_PAGE_H_

#include <string>
#include <utility>
#include <vector>

namespace midlayer {

// One self-contained page of HTML: the facts as a table, and charts of latency by layer and stage, requests and queue,
// which it draws from /metrics every two seconds. facts: name and value, any text.
std::string StatusPage(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TELEMETRY_STATUS_PAGE_H_
