// A selection as it lies in a store: a record that is read is written and read again the same, and none is read whose
// id is not the digest of the rest.
#include <nlohmann/json.hpp>
#include <optional>

#include "server/selection/record.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

// The bytes with the id that the error of a wrong one tells. No mutation hits upon a digest.
std::optional<std::string> WithRightId(std::string_view bytes, const absl::Status& status) {
  const absl::string_view message = status.message();
  std::string id;
  if (!RE2::PartialMatch(re2::StringPiece(message.data(), message.size()),
                         "id: expected ([0-9a-f]{64}) \\(the digest of the other fields\\)", &id)) {
    return std::nullopt;
  }
  nlohmann::json json = nlohmann::json::parse(bytes);
  json["id"] = id;
  return json.dump();
}

void CheckRecord(const SelectionRecord& record) {
  fuzz::Require(CheckSelection(record).ok(), "a record that is read can be stored");
  const absl::StatusOr<SelectionRecord> again = SelectionFromJson(SelectionToJson(record));
  fuzz::Require(again.ok() && *again == record, "the same record from what it was written as");
  SelectionRecord other = record;
  other.layer ^= 1;
  fuzz::Require(SelectionFromJson(SelectionToJson(other)).status().code() == absl::StatusCode::kInvalidArgument,
                "a record that was altered is refused");
}

void Check(std::string_view bytes) {
  absl::StatusOr<SelectionRecord> record = SelectionFromJson(bytes);
  if (!record.ok()) {
    fuzz::RequireError(record.status(), {absl::StatusCode::kInvalidArgument},
                       "^selection: ([a-z_]+: expected .+, found |expected a JSON object, found )");
    const std::optional<std::string> repaired = WithRightId(bytes, record.status());
    if (!repaired) return;
    record = SelectionFromJson(*repaired);
    fuzz::Require(record.ok(), "a record whose id alone was wrong");
  }
  CheckRecord(*record);
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
