// The log: text for people, or one JSON object a line.
#ifndef MIDLAYER_SERVER_BASE_LOG_H_
#define MIDLAYER_SERVER_BASE_LOG_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace midlayer {

enum class LogFormat { kText, kJson };

// Sets the log of the process up. `level` is a name of spdlog's. Not thread-safe; before anything is logged.
void SetUpLog(const std::string& level, LogFormat format);

// What belongs to a line and can be searched for by its name. Names are lower_case; values are strings and numbers.
using LogFields = std::vector<std::pair<std::string, nlohmann::json>>;

// Logs at debug. As text the fields follow the message, `name=value`; as JSON they are members beside "message".
void LogDebug(std::string_view message, const LogFields& fields);
// Whether LogDebug() does anything.
bool LogsDebug();

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_LOG_H_
