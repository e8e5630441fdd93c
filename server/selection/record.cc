#include "server/selection/record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/base/digest.h"
#include "server/base/parse_json.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace midlayer {
namespace {

struct TextField {
  const char* name;
  std::string SelectionRecord::* member;
  bool may_be_empty = false;
};

constexpr TextField kTextFields[] = {
    {"id", &SelectionRecord::id},
    {"pooling", &SelectionRecord::pooling},
    {"state", &SelectionRecord::state},
    {"criterion", &SelectionRecord::criterion},
    {"metric", &SelectionRecord::metric},
    {"dataset_digest", &SelectionRecord::dataset_digest},
    {"options_digest", &SelectionRecord::options_digest},
    {"model_fingerprint", &SelectionRecord::model_fingerprint},
    {"cache_key", &SelectionRecord::cache_key},
    {"evidence", &SelectionRecord::evidence},
    {"confidence", &SelectionRecord::confidence, true},
    {"reason", &SelectionRecord::reason, true},
};

absl::Status Wrong(std::string_view field, std::string_view expected, std::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat("selection: ", ToAbsl(field), ": expected ", ToAbsl(expected), ", found ", ToAbsl(found)));
}

// 9 significant digits, the same under every locale.
std::string RoundedValue(double value) {
  char digits[32];
  const double unsigned_zero = value == 0 ? 0 : value;
  const auto end = std::to_chars(digits, digits + sizeof digits, unsigned_zero, std::chars_format::general, 9).ptr;
  return std::string(digits, end);
}

bool IsId(std::string_view id) {
  return id.size() == 64 &&
         std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// The value of `key`, or a JSON null that no field accepts.
const nlohmann::json& At(const nlohmann::json& object, const char* key) {
  static const nlohmann::json absent;
  const auto found = object.find(key);
  return found == object.end() ? absent : *found;
}

std::string Found(const nlohmann::json& object, const char* key) {
  return object.contains(key) ? object[key].dump(-1, ' ', true) : "nothing";
}

// An integer from 0 to `max`.
absl::StatusOr<int64_t> ReadInteger(const nlohmann::json& object, const char* key, int64_t max) {
  const nlohmann::json& value = At(object, key);
  // nlohmann keeps what is not negative as unsigned.
  if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(max)) {
    return Wrong(key, absl::StrCat("an integer from 0 to ", max), Found(object, key));
  }
  return value.get<int64_t>();
}

}  // namespace

std::string SelectionId(const SelectionRecord& record) {
  Sha256 digest;
  // The length of each field keeps two records apart whose fields only meet elsewhere.
  const auto add = [&digest](std::string_view name, std::string_view value) {
    digest.Update(absl::StrCat(ToAbsl(name), " ", value.size(), " ", ToAbsl(value), "\n"));
  };
  digest.Update("midlayer selection 1\n");
  add("model_fingerprint", record.model_fingerprint);
  add("criterion", record.criterion);
  add("dataset_digest", record.dataset_digest);
  add("options_digest", record.options_digest);
  add("layer", absl::StrCat(record.layer));
  add("pooling", record.pooling);
  add("state", record.state);
  add("metric", record.metric);
  add("value", RoundedValue(record.value));
  return digest.Finish();
}

absl::Status CheckSelectionId(std::string_view id) {
  if (IsId(id)) return absl::OkStatus();
  // What came may be long, and need not be text.
  return Wrong("id", "64 lower-case hexadecimal digits", absl::StrCat(id.size(), " bytes"));
}

absl::Status CheckSelection(const SelectionRecord& record) {
  for (const TextField& field : kTextFields) {
    const std::string& text = record.*field.member;
    if (text.empty() && !field.may_be_empty) return Wrong(field.name, "a text", "an empty one");
    size_t offset = 0;
    if (!IsUtf8(text, &offset)) {
      return Wrong(field.name, "UTF-8", absl::StrCat("a byte that is not part of it at offset ", offset));
    }
  }
  if (record.layer < 0) return Wrong("layer", "a number from 0", absl::StrCat(record.layer));
  if (!std::isfinite(record.value)) return Wrong("value", "a finite number", absl::StrCat(record.value));
  if (record.created_unix_seconds < 0) {
    return Wrong("created_unix_seconds", "a number from 0", absl::StrCat(record.created_unix_seconds));
  }
  if (record.evidence != "spectral" && record.evidence != "self_retrieval" && record.evidence != "task") {
    return Wrong("evidence", "spectral, self_retrieval or task", record.evidence);
  }
  MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(record.id));
  if (const std::string id = SelectionId(record); id != record.id) {
    return Wrong("id", absl::StrCat(id, " (the digest of the other fields)"), record.id);
  }
  return absl::OkStatus();
}

std::string SelectionToJson(const SelectionRecord& record) {
  nlohmann::ordered_json json;
  for (const TextField& field : kTextFields) json[field.name] = record.*field.member;
  json["layer"] = record.layer;
  json["value"] = record.value;
  json["created_unix_seconds"] = record.created_unix_seconds;
  return json.dump();
}

absl::StatusOr<SelectionRecord> SelectionFromJson(std::string_view json) {
  const nlohmann::json object = ParseJson(json);
  if (!object.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("selection: expected a JSON object, found ",
                                                   object.is_discarded() ? "what is not JSON" : object.type_name()));
  }
  SelectionRecord record;
  for (const TextField& field : kTextFields) {
    const nlohmann::json& value = At(object, field.name);
    if (!value.is_string()) return Wrong(field.name, "a text", Found(object, field.name));
    record.*field.member = value.get<std::string>();
  }
  MIDLAYER_ASSIGN_OR_RETURN(record.layer, ReadInteger(object, "layer", std::numeric_limits<int>::max()));
  MIDLAYER_ASSIGN_OR_RETURN(record.created_unix_seconds,
                            ReadInteger(object, "created_unix_seconds", std::numeric_limits<int64_t>::max()));
  if (!At(object, "value").is_number()) return Wrong("value", "a number", Found(object, "value"));
  record.value = object["value"].get<double>();
  MIDLAYER_RETURN_IF_ERROR(CheckSelection(record));
  return record;
}

}  // namespace midlayer
