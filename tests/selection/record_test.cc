#include "server/selection/record.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/selection/records.h"

namespace midlayer {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

using Change = std::function<void(SelectionRecord*)>;

SelectionRecord Changed(const Change& change) {
  SelectionRecord record = MakeRecord(7);
  change(&record);
  return record;
}

// An id must be the same in every version of the server: selections are shared. Computed apart from this code:
// printf 'midlayer selection 1\nmodel_fingerprint 22 fingerprint of layer 7\ncriterion 14 prompt_entropy\n…' |
// sha256sum
TEST(SelectionRecordTest, IdIsFixedForEver) {
  EXPECT_EQ(MakeRecord(7).id, "723e1b1d4cdec504fc89f060966009f2aff4113f720e5d27db0f7f8f29782408");
}

TEST(SelectionRecordTest, IdDependsOnQuestionAndResult) {
  const Change changes[] = {
      [](SelectionRecord* r) { r->layer = 8; },
      [](SelectionRecord* r) { r->pooling = "cls"; },
      [](SelectionRecord* r) { r->state = "normed"; },
      [](SelectionRecord* r) { r->criterion = "dime"; },
      [](SelectionRecord* r) { r->metric = "dime"; },
      [](SelectionRecord* r) { r->value = 7.00000001; },
      [](SelectionRecord* r) { r->dataset_digest = "other"; },
      [](SelectionRecord* r) { r->options_digest = "other"; },
      [](SelectionRecord* r) { r->model_fingerprint = "other"; },
  };
  for (const Change& change : changes) EXPECT_NE(SelectionId(Changed(change)), MakeRecord(7).id);
}

TEST(SelectionRecordTest, IdDependsOnNothingElse) {
  const Change changes[] = {
      [](SelectionRecord* r) { r->id = "x"; },
      [](SelectionRecord* r) { r->cache_key = "x"; },
      [](SelectionRecord* r) { r->evidence = "task"; },
      [](SelectionRecord* r) { r->confidence = "low"; },
      [](SelectionRecord* r) { r->created_unix_seconds = 1; },
      [](SelectionRecord* r) { r->reason = "x"; },
      [](SelectionRecord* r) { r->value = 7.000000001; },  // the tenth digit
  };
  for (const Change& change : changes) EXPECT_EQ(SelectionId(Changed(change)), MakeRecord(7).id);
}

TEST(SelectionRecordTest, IdKeepsFieldsApart) {
  const auto a = Changed([](SelectionRecord* r) { r->pooling = "ab", r->state = "c"; });
  const auto b = Changed([](SelectionRecord* r) { r->pooling = "a", r->state = "bc"; });
  EXPECT_NE(SelectionId(a), SelectionId(b));
  const auto zero = Changed([](SelectionRecord* r) { r->value = 0.0; });
  const auto minus_zero = Changed([](SelectionRecord* r) { r->value = -0.0; });
  EXPECT_EQ(SelectionId(zero), SelectionId(minus_zero));
}

TEST(SelectionRecordTest, JsonAndBack) {
  for (const double value : {7.0, 0.1, -1e-300, 1.7976931348623157e308, 0.30000000000000004}) {
    SelectionRecord record = Changed([value](SelectionRecord* r) { r->value = value; });
    record.reason = "\"quoted\"\n\t\x01 – 層";
    record.confidence = "";
    record.id = SelectionId(record);
    const auto read = SelectionFromJson(SelectionToJson(record));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, record);
  }
}

TEST(SelectionRecordTest, UnknownKeysAreLeftOut) {
  json object = json::parse(SelectionToJson(MakeRecord(1)));
  object["of_a_newer_server"] = {1, 2};
  const auto read = SelectionFromJson(object.dump());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, MakeRecord(1));
}

TEST(SelectionRecordTest, EveryFieldIsRequired) {
  const json whole = json::parse(SelectionToJson(MakeRecord(1)));
  ASSERT_EQ(whole.size(), 15u);
  for (const auto& [key, value] : whole.items()) {
    json object = whole;
    object.erase(key);
    const absl::Status missing = SelectionFromJson(object.dump()).status();
    EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(missing.message()), StartsWith("selection: " + key + ": expected "));
    EXPECT_THAT(std::string(missing.message()), HasSubstr("found nothing"));
    object[key] = json::array({1});
    EXPECT_THAT(std::string(SelectionFromJson(object.dump()).status().message()),
                StartsWith("selection: " + key + ": expected "));
    object[key] = nullptr;
    EXPECT_FALSE(SelectionFromJson(object.dump()).ok()) << key;
  }
}

TEST(SelectionRecordTest, BadJson) {
  const std::string good = SelectionToJson(MakeRecord(1));
  const std::pair<std::string, const char*> cases[] = {
      {"", "what is not JSON"},
      {good.substr(0, good.size() / 2), "what is not JSON"},
      {good + "x", "what is not JSON"},
      {std::string(100, '\0'), "what is not JSON"},
      {"\xFF\xFE", "what is not JSON"},
      {"[]", "found array"},
      {"null", "found null"},
      {std::string(100000, '['), "what is not JSON"},
      // A value of a million levels, which an error could not show.
      {"{\"id\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}", "what is not JSON"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::Status status = SelectionFromJson(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected)) << text.substr(0, 100);
  }
}

TEST(SelectionRecordTest, BadNumbers) {
  const std::pair<const char*, const char*> cases[] = {
      {"layer", "-1"},
      {"layer", "1.5"},
      {"layer", "2147483648"},
      {"layer", "18446744073709551615"},
      {"layer", "1e2"},
      {"value", "\"1\""},
      {"created_unix_seconds", "-1"},
      {"created_unix_seconds", "9223372036854775808"},
  };
  for (const auto& [key, value] : cases) {
    json object = json::parse(SelectionToJson(MakeRecord(1)));
    object[key] = json::parse(value);
    EXPECT_THAT(std::string(SelectionFromJson(object.dump()).status().message()),
                StartsWith(std::string("selection: ") + key + ": expected "))
        << value;
  }
}

TEST(SelectionRecordTest, AlteredRecordDoesNotFitItsId) {
  json object = json::parse(SelectionToJson(MakeRecord(1)));
  object["layer"] = 2;
  EXPECT_THAT(std::string(SelectionFromJson(object.dump()).status().message()), StartsWith("selection: id: expected "));
}

TEST(SelectionRecordTest, CheckNamesTheField) {
  EXPECT_TRUE(CheckSelection(MakeRecord(1)).ok());
  const std::pair<const char*, Change> cases[] = {
      {"id", [](SelectionRecord* r) { r->id = ""; }},
      {"id", [](SelectionRecord* r) { r->id = MakeRecord(8).id; }},
      {"id", [](SelectionRecord* r) { r->id[0] = 'A'; }},
      {"layer", [](SelectionRecord* r) { r->layer = -1; }},
      {"pooling", [](SelectionRecord* r) { r->pooling = ""; }},
      {"state", [](SelectionRecord* r) { r->state = ""; }},
      {"criterion", [](SelectionRecord* r) { r->criterion = "\xFF"; }},
      {"metric", [](SelectionRecord* r) { r->metric = ""; }},
      {"value", [](SelectionRecord* r) { r->value = std::nan(""); }},
      {"value", [](SelectionRecord* r) { r->value = std::numeric_limits<double>::infinity(); }},
      {"dataset_digest", [](SelectionRecord* r) { r->dataset_digest = ""; }},
      {"options_digest", [](SelectionRecord* r) { r->options_digest = ""; }},
      {"model_fingerprint", [](SelectionRecord* r) { r->model_fingerprint = ""; }},
      {"cache_key", [](SelectionRecord* r) { r->cache_key = ""; }},
      {"evidence", [](SelectionRecord* r) { r->evidence = "guess"; }},
      {"confidence", [](SelectionRecord* r) { r->confidence = "\xC0"; }},
      {"created_unix_seconds", [](SelectionRecord* r) { r->created_unix_seconds = -1; }},
      {"reason", [](SelectionRecord* r) { r->reason = "cut \xE2\x80"; }},
  };
  for (const auto& [field, change] : cases) {
    const absl::Status status = CheckSelection(Changed(change));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), StartsWith(std::string("selection: ") + field + ": expected "));
  }
}

}  // namespace
}  // namespace midlayer
