#include "server/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace midlayer {

namespace {

// Between a message and its fields, where they are JSON: no text of ours holds it.
constexpr char kFieldsFollow = '\x1f';

std::string ToJson(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

LogFormat log_format = LogFormat::kText;  // written by SetUpLog() alone

// As in logfmt: bare where that is unambiguous, else as JSON.
std::string ToText(const nlohmann::json& value) {
  if (!value.is_string()) return ToJson(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool bare = !text.empty() && text.find_first_of(" =\"\\\x1f\n\r\t") == std::string::npos;
  return bare ? text : ToJson(value);
}

// %J of a pattern: `"the message"`, and after it `,"name":value` for each field.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    const size_t fields = payload.find(kFieldsFollow);
    const std::string quoted = ToJson(std::string(payload.substr(0, fields)));
    line.append(quoted.data(), quoted.data() + quoted.size());
    if (fields != std::string_view::npos) line.append(payload.data() + fields + 1, payload.data() + payload.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<JsonMessage>(); }
};

}  // namespace

void SetUpLog(const std::string& level, LogFormat format) {
  log_format = format;
  spdlog::set_level(spdlog::level::from_str(level));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('J').set_pattern(
      format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%f%z","level":"%l","message":%J})"
                                 : "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  spdlog::set_formatter(std::move(formatter));
}

bool LogsDebug() { return spdlog::should_log(spdlog::level::debug); }

void LogDebug(std::string_view message, const LogFields& fields) {
  if (!LogsDebug()) return;
  std::string line(message);
  if (log_format == LogFormat::kJson) line += kFieldsFollow;
  for (const auto& [name, value] : fields) {
    line +=
        log_format == LogFormat::kJson ? "," + ToJson(name) + ":" + ToJson(value) : " " + name + "=" + ToText(value);
  }
  spdlog::debug("{}", line);
}

}  // namespace midlayer
