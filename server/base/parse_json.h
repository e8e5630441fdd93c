// JSON from outside.
#ifndef MIDLAYER_SERVER_BASE_PARSE_JSON_H_
#define MIDLAYER_SERVER_BASE_PARSE_JSON_H_

#include <nlohmann/json.hpp>
#include <string_view>

namespace midlayer {

// nlohmann-json reads any depth, but copies and prints by recursion: what is nested deeper would exhaust the stack.
inline constexpr int kDeepestJson = 100;

// is_discarded() where the text is no JSON, or is nested deeper than kDeepestJson; with `exceptions`, what is no JSON
// is an nlohmann::json::exception instead.
template <typename Json = nlohmann::json>
Json ParseJson(std::string_view text, bool exceptions = false) {
  bool too_deep = false;
  const auto notice = [&too_deep](int depth, typename Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kDeepestJson;
    return !too_deep;
  };
  Json json = Json::parse(text, notice, exceptions);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_PARSE_JSON_H_
