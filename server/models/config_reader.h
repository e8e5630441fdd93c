// Reads typed values from one of a model's JSON files. Not thread-safe.
//
// Errors are sticky: a getter that fails remembers the first error (file, key, what was expected, what came) and
// returns its fallback, so that a parser reads like a table and asks status() once at its end.
#ifndef MIDLAYER_SERVER_MODELS_CONFIG_READER_H_
#define MIDLAYER_SERVER_MODELS_CONFIG_READER_H_

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlayer {

class ConfigReader {
 public:
  // NOT_FOUND where there is no such file, INVALID_ARGUMENT where it is not a JSON object (or, for Array(), an array).
  static absl::StatusOr<ConfigReader> Open(const std::filesystem::path& file);
  ConfigReader(std::string file, nlohmann::json json) : file_(std::move(file)), json_(std::move(json)) {}

  bool Has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  // Required. An integer from `min` to kMaxInt, of which products by small factors are still an int.
  static constexpr int kMaxInt = 1 << 28;
  int Int(const char* key, int min = 1);
  // The fallback where the key is absent or null.
  int IntOr(const char* key, int fallback, int min = 0);
  double DoubleOr(const char* key, double fallback);
  bool BoolOr(const char* key, bool fallback);
  std::string String(const char* key);
  std::string StringOr(const char* key, std::string fallback);
  std::map<std::string, std::string> StringMapOr(const char* key);

  // Remembers an error about `key`, in the form of the getters' own.
  void Fail(const char* key, std::string_view expected, std::string_view found);

  // Remembers an error of a reader of a part of this file, unless it is OK.
  void Adopt(const absl::Status& status) { status_.Update(status); }

  const absl::Status& status() const { return status_; }
  const std::string& file() const { return file_; }
  const nlohmann::json& json() const { return json_; }

 private:
  std::string file_;
  nlohmann::json json_;
  absl::Status status_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_CONFIG_READER_H_
