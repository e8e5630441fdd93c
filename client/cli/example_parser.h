// From the fields of a record (a JSON object, or a line of CSV) to an Example of the wire.
#ifndef MIDLAYER_CLIENT_CLI_EXAMPLE_PARSER_H_
#define MIDLAYER_CLIENT_CLI_EXAMPLE_PARSER_H_

#include <string>

#include "absl/status/statusor.h"
#include "midlayer/v1/scoring.pb.h"
#include "nlohmann/json.hpp"

namespace midlayer::cli {

// What the fields are called. Empty: the known names, see KnownNames().
struct FieldNames {
  std::string text;
  std::string label;
  std::string paired_text;
  std::string score;
  std::string id;
  std::string relevant;
};

// The names that are understood without being told, one line a field, for help texts.
std::string KnownNames();

// What is known of a record beforehand.
struct RecordKind {
  // As in CSV: numbers are written out, several relevant ids are separated by ";", and a field "passage" is the flag
  // where it is true, false, 1 or 0.
  bool has_strings_only = false;
  // It is a passage, whatever its fields say.
  bool is_passage = false;
};

// Fields that are absent, null or empty count as not given, and unknown fields are ignored. Where several known names
// are there, the first in the order of KnownNames() wins. Labels and ids that are numbers become strings (3 and 3.0
// both "3"). An id is sent for passages only, as the wire has it: other examples have no name there.
//
// `record` is an object.
//
// INVALID_ARGUMENT, beginning with the field: no text, or a value of another kind than the field takes.
absl::StatusOr<v1::Example> ParseExample(const nlohmann::json& record, const FieldNames& names, RecordKind kind);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_EXAMPLE_PARSER_H_
