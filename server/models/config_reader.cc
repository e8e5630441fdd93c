#include "server/models/config_reader.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/base/parse_json.h"
#include "server/base/read_file.h"
#include "server/base/status.h"

namespace midlayer {

absl::StatusOr<ConfigReader> ConfigReader::Open(const std::filesystem::path& file) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  nlohmann::json json = ParseJson(text);
  if (json.is_discarded())
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": expected JSON, found ", text.size(), " bytes that are not"));
  if (!json.is_structured()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": expected a JSON object or array, found ", json.type_name()));
  }
  return ConfigReader(file.string(), std::move(json));
}

void ConfigReader::Fail(const char* key, std::string_view expected, std::string_view found) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat(file_, ": ", key, ": expected ", ToAbsl(expected), ", found ", ToAbsl(found)));
  }
}

int ConfigReader::Int(const char* key, int min) {
  if (!Has(key)) {
    Fail(key, absl::StrCat("an integer of at least ", min), "nothing");
    return min;
  }
  return IntOr(key, min, min);
}

int ConfigReader::IntOr(const char* key, int fallback, int min) {
  if (!Has(key)) return fallback;
  const nlohmann::json& value = json_[key];
  if (!value.is_number_integer() || value.get<double>() < min || value.get<double>() > kMaxInt) {
    Fail(key, absl::StrCat("an integer from ", min, " to ", kMaxInt), value.dump());
    return fallback;
  }
  return value.get<int>();
}

double ConfigReader::DoubleOr(const char* key, double fallback) {
  if (!Has(key)) return fallback;
  const nlohmann::json& value = json_[key];
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    Fail(key, "a number", value.dump());
    return fallback;
  }
  return value.get<double>();
}

bool ConfigReader::BoolOr(const char* key, bool fallback) {
  if (!Has(key)) return fallback;
  if (!json_[key].is_boolean()) {
    Fail(key, "true or false", json_[key].dump());
    return fallback;
  }
  return json_[key].get<bool>();
}

std::string ConfigReader::String(const char* key) {
  if (!Has(key)) Fail(key, "a string", "nothing");
  return StringOr(key, "");
}

std::string ConfigReader::StringOr(const char* key, std::string fallback) {
  if (!Has(key)) return fallback;
  if (!json_[key].is_string()) {
    Fail(key, "a string", json_[key].dump());
    return fallback;
  }
  return json_[key].get<std::string>();
}

std::map<std::string, std::string> ConfigReader::StringMapOr(const char* key) {
  std::map<std::string, std::string> map;
  if (!Has(key)) return map;
  if (!json_[key].is_object()) {
    Fail(key, "an object of strings", json_[key].dump());
    return map;
  }
  for (const auto& [name, value] : json_[key].items()) {
    if (value.is_string()) {
      map[name] = value.get<std::string>();
    } else {
      Fail(key, "an object of strings", value.dump());
    }
  }
  return map;
}

}  // namespace midlayer
