#include "server/models/config_reader.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/model_copy.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

ConfigReader Reader(const std::string& json) { return ConfigReader("dir/config.json", nlohmann::json::parse(json)); }

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(ConfigReaderTest, ReadsValuesOfTheRightType) {
  ConfigReader config = Reader(R"({"int": 7, "zero": 0, "huge": 268435456, "real": 0.25, "yes": true, "no": false,
                                   "text": "abc", "map": {"a": "1", "b": ""}})");
  EXPECT_EQ(config.Int("int"), 7);
  EXPECT_EQ(config.Int("huge"), 1 << 28);
  EXPECT_EQ(config.IntOr("zero", 5), 0);
  EXPECT_EQ(config.DoubleOr("real", 1), 0.25);
  EXPECT_EQ(config.DoubleOr("int", 1), 7.0) << "an integer is a number too";
  EXPECT_TRUE(config.BoolOr("yes", false));
  EXPECT_FALSE(config.BoolOr("no", true));
  EXPECT_EQ(config.String("text"), "abc");
  EXPECT_EQ(config.StringOr("text", "z"), "abc");
  EXPECT_THAT(config.StringMapOr("map"), ElementsAre(Pair("a", "1"), Pair("b", "")));
  EXPECT_TRUE(config.status().ok()) << config.status();
}

TEST(ConfigReaderTest, AbsentAndNullGiveTheFallback) {
  ConfigReader config = Reader(R"({"null": null})");
  for (const char* key : {"null", "absent"}) {
    SCOPED_TRACE(key);
    EXPECT_FALSE(config.Has(key));
    EXPECT_EQ(config.IntOr(key, -3), -3);
    EXPECT_EQ(config.DoubleOr(key, 0.5), 0.5);
    EXPECT_TRUE(config.BoolOr(key, true));
    EXPECT_EQ(config.StringOr(key, "f"), "f");
    EXPECT_TRUE(config.StringMapOr(key).empty());
  }
  EXPECT_TRUE(config.status().ok()) << config.status();
}

TEST(ConfigReaderTest, ErrorsNameFileKeyExpectedAndFound) {
  const struct {
    const char* json;
    std::function<void(ConfigReader&)> read;
    const char* message;
  } cases[] = {
      {R"({})", [](auto& c) { c.Int("k"); }, "k: expected an integer of at least 1, found nothing"},
      {R"({"k": null})", [](auto& c) { c.Int("k", 2); }, "k: expected an integer of at least 2, found nothing"},
      {R"({"k": 0})", [](auto& c) { c.Int("k"); }, "k: expected an integer from 1 to 268435456, found 0"},
      {R"({"k": -1})", [](auto& c) { c.IntOr("k", 3); }, "k: expected an integer from 0 to 268435456, found -1"},
      {R"({"k": 1073741825})", [](auto& c) { c.Int("k"); }, "found 1073741825"},
      {R"({"k": 18446744073709551615})", [](auto& c) { c.Int("k"); }, "found 18446744073709551615"},
      {R"({"k": -9223372036854775808})", [](auto& c) { c.Int("k"); }, "found -9223372036854775808"},
      {R"({"k": 2.0})", [](auto& c) { c.Int("k"); }, "k: expected an integer from 1 to 268435456, found 2.0"},
      {R"({"k": 1e12})", [](auto& c) { c.Int("k"); }, "k: expected an integer"},
      {R"({"k": "12"})", [](auto& c) { c.Int("k"); }, "found \"12\""},
      {R"({"k": true})", [](auto& c) { c.Int("k"); }, "found true"},
      {R"({"k": [1]})", [](auto& c) { c.IntOr("k", 1); }, "found [1]"},
      {R"({"k": "0.1"})", [](auto& c) { c.DoubleOr("k", 1); }, "k: expected a number, found \"0.1\""},
      {R"({"k": 1})", [](auto& c) { c.BoolOr("k", true); }, "k: expected true or false, found 1"},
      {R"({"k": "true"})", [](auto& c) { c.BoolOr("k", true); }, "k: expected true or false, found \"true\""},
      {R"({})", [](auto& c) { c.String("k"); }, "k: expected a string, found nothing"},
      {R"({"k": 5})", [](auto& c) { c.String("k"); }, "k: expected a string, found 5"},
      {R"({"k": ["a"]})", [](auto& c) { c.StringOr("k", ""); }, "k: expected a string, found [\"a\"]"},
      {R"({"k": ["a"]})", [](auto& c) { c.StringMapOr("k"); }, "k: expected an object of strings, found [\"a\"]"},
      {R"({"k": {"a": 1}})", [](auto& c) { c.StringMapOr("k"); }, "k: expected an object of strings, found 1"},
      {R"([1, 2])", [](auto& c) { c.Int("k"); }, "k: expected an integer of at least 1, found nothing"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.json) + " -> " + test.message);
    ConfigReader config = Reader(test.json);
    test.read(config);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(config.status()), HasSubstr("dir/config.json: k: expected "));
    EXPECT_THAT(Message(config.status()), HasSubstr(test.message));
  }
}

TEST(ConfigReaderTest, AFailedGetterReturnsAUsableFallback) {
  ConfigReader config = Reader(R"({"k": "x"})");
  EXPECT_EQ(config.Int("k", 4), 4);
  EXPECT_EQ(config.IntOr("k", 9), 9);
  EXPECT_EQ(config.DoubleOr("k", 0.5), 0.5);
  EXPECT_TRUE(config.BoolOr("k", true));
  EXPECT_TRUE(config.StringMapOr("k").empty());
}

TEST(ConfigReaderTest, TheFirstErrorSticks) {
  ConfigReader config = Reader(R"({"a": "x", "b": "y"})");
  config.Int("a");
  config.Int("b");
  config.Fail("c", "anything", "else");
  EXPECT_THAT(Message(config.status()), HasSubstr("config.json: a: "));
}

// Values are copied, and shown in errors, by recursion.
TEST(ConfigReaderTest, DeepJsonIsRefused) {
  const ModelCopy dir("bert");
  const auto nested = [](size_t depth) { return "{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  dir.Write("x.json", nested(90));
  absl::StatusOr<ConfigReader> config = ConfigReader::Open(dir.path() / "x.json");
  ASSERT_TRUE(config.ok()) << config.status();
  config->Int("a");
  EXPECT_THAT(Message(config->status()), HasSubstr("a: expected an integer from 1 to 268435456, found [[["));
  for (const size_t depth : {101, 1000000}) {
    dir.Write("x.json", nested(depth));
    EXPECT_THAT(Message(ConfigReader::Open(dir.path() / "x.json").status()), HasSubstr("x.json: expected JSON, found"));
  }
}

TEST(ConfigReaderTest, OpensObjectsAndArraysOnly) {
  const ModelCopy dir("bert");
  const struct {
    const char* content;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {R"({"a": 1})", absl::StatusCode::kOk, ""},
      {R"([])", absl::StatusCode::kOk, ""},
      {"", absl::StatusCode::kInvalidArgument, "expected JSON, found 0 bytes that are not"},
      {"{", absl::StatusCode::kInvalidArgument, "expected JSON, found 1 bytes that are not"},
      {"{} x", absl::StatusCode::kInvalidArgument, "expected JSON"},
      {"{\"a\": \"\xFF\"}", absl::StatusCode::kInvalidArgument, "expected JSON"},
      {"{\"a\": 1e999}", absl::StatusCode::kInvalidArgument, "expected JSON"},
      {"7", absl::StatusCode::kInvalidArgument, "expected a JSON object or array, found number"},
      {"null", absl::StatusCode::kInvalidArgument, "expected a JSON object or array, found null"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.content);
    dir.Write("x.json", test.content);
    const absl::Status status = ConfigReader::Open(dir.path() / "x.json").status();
    EXPECT_EQ(status.code(), test.code);
    EXPECT_THAT(Message(status), HasSubstr(test.message));
    const std::string named = status.ok() ? "" : (dir.path() / "x.json").string();
    EXPECT_THAT(Message(status), HasSubstr(named));
  }
  EXPECT_EQ(ConfigReader::Open(dir.path() / "none.json").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ConfigReader::Open(dir.path()).status().code(), absl::StatusCode::kNotFound) << "a directory";
}

}  // namespace
}  // namespace midlayer
