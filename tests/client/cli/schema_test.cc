// docs/report.schema.json and the wire say the same: each field of the report is in the schema, with the type that
// protobuf's JSON mapping gives it, and the other way round; and a real report is valid by it.
#include <fstream>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/sample_report.h"

namespace midlayer::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using nlohmann::json;

json Schema() {
  std::ifstream file(MIDLAYER_SOURCE_DIR "/docs/report.schema.json");
  return json::parse(file);
}

// The schema of a single value of the field, without its description.
json ExpectedType(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return {{"type", "integer"}};
    case FieldDescriptor::CPPTYPE_UINT32:
      return {{"type", "integer"}, {"minimum", 0}};
    case FieldDescriptor::CPPTYPE_INT64:
      return {{"type", "string"}, {"pattern", "^-?[0-9]+$"}};
    case FieldDescriptor::CPPTYPE_UINT64:
      return {{"type", "string"}, {"pattern", "^[0-9]+$"}};
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return {{"$ref", "#/$defs/Number"}};
    case FieldDescriptor::CPPTYPE_BOOL:
      return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_ENUM:
      return {{"$ref", "#/$defs/" + field.enum_type()->name()}};
    case FieldDescriptor::CPPTYPE_STRING:
      return {{"type", "string"}};
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return {{"$ref", "#/$defs/" + field.message_type()->name()}};
  }
  return nullptr;
}

// Checks the schema of a message, and of all that it holds. `seen`: what was checked before.
void CheckMessage(const Descriptor& message, const json& schema, const json& definitions, std::set<std::string>* seen) {
  if (!seen->insert(message.name()).second) return;
  EXPECT_EQ(schema["properties"].size(), message.field_count()) << message.name();
  EXPECT_EQ(schema["additionalProperties"], false) << message.name();
  std::set<std::string> required;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    SCOPED_TRACE(field.full_name());
    if (!field.has_presence()) required.insert(field.name());
    ASSERT_TRUE(schema["properties"].contains(field.name()));
    json property = schema["properties"][field.name()];
    EXPECT_FALSE(property["description"].get<std::string>().empty());
    property.erase("description");
    const json type = ExpectedType(field);
    EXPECT_EQ(property, field.is_repeated() ? json({{"type", "array"}, {"items", type}}) : type);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CheckMessage(*field.message_type(), definitions[field.message_type()->name()], definitions, seen);
    }
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM) continue;
    seen->insert(field.enum_type()->name());
    json names = json::array();
    for (int k = 0; k < field.enum_type()->value_count(); ++k) names.push_back(field.enum_type()->value(k)->name());
    EXPECT_EQ(definitions[field.enum_type()->name()]["enum"], names);
  }
  EXPECT_EQ(schema["required"].get<std::set<std::string>>(), required) << message.name();
}

TEST(SchemaTest, SaysWhatTheWireSays) {
  const json schema = Schema();
  std::set<std::string> seen;
  CheckMessage(*v1::ScoreReport::descriptor(), schema, schema["$defs"], &seen);
  seen.erase("ScoreReport");
  seen.insert("Number");
  std::set<std::string> defined;
  for (const auto& [name, unused] : schema["$defs"].items()) defined.insert(name);
  EXPECT_EQ(defined, seen);
}

// Whether `value` has the type that `schema` names; only what the schema uses is understood, patterns apart.
bool IsValid(const json& value, const json& schema, const json& definitions, std::string* where) {
  if (schema.contains("$ref")) {
    const std::string name = schema["$ref"].get<std::string>().substr(std::string("#/$defs/").size());
    return IsValid(value, definitions[name], definitions, where);
  }
  if (schema.contains("anyOf")) {
    for (const json& one : schema["anyOf"]) {
      if (IsValid(value, one, definitions, where)) return true;
    }
    return false;
  }
  if (schema.contains("enum")) return std::ranges::find(schema["enum"], value) != schema["enum"].end();
  const std::string type = schema["type"];
  if (type == "integer") return value.is_number_integer();
  if (type == "array") {
    return value.is_array() && std::ranges::all_of(value, [&](const json& item) {
             return IsValid(item, schema["items"], definitions, where);
           });
  }
  if (type != "object") return value.type_name() == type;
  for (const auto& [name, member] : value.items()) {
    *where = name;
    if (!schema["properties"].contains(name)) return false;
    if (!IsValid(member, schema["properties"][name], definitions, where)) return false;
  }
  return std::ranges::all_of(schema["required"], [&](const json& name) {
    *where = name;
    return value.contains(name.get<std::string>());
  });
}

TEST(SchemaTest, RenderedReportsAreValid) {
  const json schema = Schema();
  std::string where;
  for (const v1::ScoreReport& report : {SampleReport(), WaveReport(5, 4), v1::ScoreReport()}) {
    EXPECT_TRUE(IsValid(json::parse(ToJson(report)), schema, schema["$defs"], &where)) << where;
  }
  json wrong = json::parse(ToJson(SampleReport()));
  wrong["curves"][3]["scores"][2]["value"] = "much";
  EXPECT_FALSE(IsValid(wrong, schema, schema["$defs"], &where));
  EXPECT_EQ(where, "value");
}

}  // namespace
}  // namespace midlayer::cli
