// Messages of the wire as JSON: protobuf's mapping, with the names of the fields and with defaults. And the lines of
// JSON Lines.
#ifndef MIDLAYER_CLIENT_CLI_JSON_H_
#define MIDLAYER_CLIENT_CLI_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/console.h"
#include "google/protobuf/message.h"
#include "midlayer/v1/scoring.pb.h"
#include "nlohmann/json.hpp"

namespace midlayer::cli {

// Indented, ends with a line end. Numbers of 64 bits are strings and NaN is "NaN", as protobuf has it.
std::string ToJson(const google::protobuf::Message& message);

// Reads what `midlayer score --output=json` wrote; `path` "-" is standard input. Fields that this program does not know
// are left out. NOT_FOUND where the file cannot be read, INVALID_ARGUMENT where it holds no report.
absl::StatusOr<v1::ScoreReport> ReadReport(const std::string& path, const Console& console);

// A line that should be a JSON object. INVALID_ARGUMENT: not JSON, with the place where there is one, or another value.
absl::StatusOr<nlohmann::json> ParseObject(const std::string& line);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_JSON_H_
