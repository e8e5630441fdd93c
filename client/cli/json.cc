#include "client/cli/json.h"

#include <google/protobuf/util/json_util.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "client/cli/input_file.h"
#include "server/base/parse_json.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

absl::Status NoReport(const std::string& path, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(
      path == "-" ? "standard input" : path, ": expected a report as midlayer score --output=json writes it: ", why));
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);  // fails on google.protobuf.Any only
  return json;
}

absl::StatusOr<v1::ScoreReport> ReadReport(const std::string& path, const Console& console) {
  MIDLAYER_ASSIGN_OR_RETURN(const InputFile input, OpenInput(path, console));
  const std::string json((std::istreambuf_iterator<char>(*input.in)), std::istreambuf_iterator<char>());
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  v1::ScoreReport report;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &report, options);
  if (!status.ok()) return NoReport(path, Printable(status.message().ToString()));
  if (report.curves_size() == 0) return NoReport(path, "it has no curves");
  return report;
}

absl::StatusOr<nlohmann::json> ParseObject(const std::string& line) {
  nlohmann::json object;
  try {  // nlohmann-json tells the place of an error only by exception
    object = ParseJson(line, /*exceptions=*/true);
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON, at byte ", error.byte));
  } catch (const nlohmann::json::out_of_range&) {
    return absl::InvalidArgumentError("a number that is too large");
  }
  if (object.is_discarded()) return absl::InvalidArgumentError(absl::StrCat("nested deeper than ", kDeepestJson));
  if (object.is_object()) return object;
  return absl::InvalidArgumentError(absl::StrCat("expected a JSON object, found ", object.type_name()));
}

}  // namespace midlayer::cli
