#include "server/weights/weight_files.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A file of one-byte tensors with these names; the byte is the name's first letter.
std::string FileOf(const std::string& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"", names.substr(i, 1),
                    R"(":{"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  }
  return SafetensorsBytes(header + "}", names);
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(WeightFilesTest, SingleFile) {
  const TempDir dir;
  dir.Write("model.safetensors", FileOf("ab"));
  dir.Write("model.safetensors.index.json", "not looked at");
  auto opened = WeightFiles::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const WeightFiles weights = *std::move(opened);
  ASSERT_EQ(weights.tensors().size(), 2u);
  EXPECT_EQ(weights.tensors().at("b").data[0], std::byte{'b'});
  weights.Release(weights.tensors().at("b"));
  EXPECT_EQ(weights.tensors().at("b").data[0], std::byte{'b'});
}

TEST(WeightFilesTest, Shards) {
  const TempDir dir;
  dir.Write("1.safetensors", FileOf("ab"));
  dir.Write("2.safetensors", FileOf("c"));
  dir.Write("unused.safetensors", "broken, and not looked at");
  dir.Write("model.safetensors.index.json",
            R"({"metadata":{"total_size":3},
                "weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}})");
  const auto weights = WeightFiles::Open(dir.path());
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(weights->tensors().size(), 3u);
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(weights->tensors().at(name).data[0], std::byte(name[0]));
    weights->Release(weights->tensors().at(name));
  }
  EXPECT_EQ(weights->tensors().at("c").file, (dir.path() / "2.safetensors").string());
}

// As transformers writes them.
TEST(WeightFilesTest, GoldenModels) {
  const fs::path models = fs::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden" / "models";
  for (const char* name : {"bert", "bert_sharded", "bert_bfloat16"}) {
    const auto weights = WeightFiles::Open(models / name);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_GT(weights->tensors().size(), 10u) << name;
  }
}

// The Hugging Face cache is made of links.
TEST(WeightFilesTest, FollowsLinks) {
  const TempDir blobs;
  const TempDir dir;
  fs::create_symlink(blobs.Write("abc", FileOf("a")), dir.path() / "model.safetensors");
  EXPECT_TRUE(WeightFiles::Open(dir.path()).ok());
  fs::remove(blobs.path() / "abc");
  EXPECT_EQ(WeightFiles::Open(dir.path()).status().code(), absl::StatusCode::kNotFound);
}

TEST(WeightFilesTest, NothingThere) {
  const TempDir dir;
  EXPECT_EQ(WeightFiles::Open(dir.path() / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WeightFiles::Open(dir.Write("file", "")).status().code(), absl::StatusCode::kNotFound);
  const absl::Status status = WeightFiles::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("expected model.safetensors or model.safetensors.index.json, found neither"));
}

TEST(WeightFilesTest, OnlyPickleTellsHowToConvert) {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    const TempDir dir;
    dir.Write(name, "");
    const absl::Status status = WeightFiles::Open(dir.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << name;
    EXPECT_THAT(Message(status), HasSubstr(name));
    EXPECT_THAT(Message(status),
                HasSubstr(absl::StrCat("AutoModel.from_pretrained('", dir.path().string(), "').save_pretrained('",
                                       dir.path().string(), "', safe_serialization=True)")));
  }
}

TEST(WeightFilesTest, BadIndexes) {
  // Beside the index are 1.safetensors with a and b, 2.safetensors with c.
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "weight_map: expected"},
      {"not json", "weight_map: expected"},
      {"\xFF", "weight_map: expected"},
      {"[]", "weight_map: expected"},
      {"null", "weight_map: expected"},
      {"{}", "weight_map: expected"},
      {R"({"weight_map":[]})", "weight_map: expected"},
      {R"({"weight_map":null})", "weight_map: expected"},
      {R"({"weight_map":{}})", "expected at least one tensor"},
      {R"({"weight_map":{"a":1}})", "same directory, found 1"},
      {R"({"weight_map":{"a":null}})", "same directory, found null"},
      {R"({"weight_map":{"a":""}})", "same directory"},
      {R"({"weight_map":{"a":"."}})", "same directory"},
      {R"({"weight_map":{"a":".."}})", "same directory"},
      {R"({"weight_map":{"a":"../1.safetensors"}})", "same directory"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "same directory, found \"/etc/passwd\""},
      {R"({"weight_map":{"a":"x/1.safetensors"}})", "same directory"},
      {R"({"weight_map":{"a":"1.safetensors\u0000"}})", "same directory"},
      {R"({"weight_map":{"a":"1.safetensors"}})", "tensor \"b\" is in 1.safetensors, but not in the index"},
      {R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","z":"1.safetensors"}})",
       "tensor \"z\": expected in 1.safetensors, not found there"},
      {R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})",
       "tensor \"b\": expected in 2.safetensors only, found in 1.safetensors"},
      {R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"again.safetensors"}})",
       "tensor \"b\": expected in 1.safetensors only, found in again.safetensors"},
      {R"({"weight_map":{"a":"broken.safetensors"}})", "broken.safetensors: expected a safetensors file"},
      {R"({"weight_map":{"a":"folder"}})", "folder: expected a regular file"},
  };
  for (const auto& [index, expected] : cases) {
    SCOPED_TRACE(std::string(index));
    const TempDir dir;
    dir.Write("1.safetensors", FileOf("ab"));
    dir.Write("2.safetensors", FileOf("c"));
    dir.Write("again.safetensors", FileOf("bc"));
    dir.Write("broken.safetensors", FileOf("a").substr(0, 20));
    fs::create_directory(dir.path() / "folder");
    dir.Write("model.safetensors.index.json", index);
    const absl::Status status = WeightFiles::Open(dir.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), HasSubstr(std::string(expected)));
    EXPECT_THAT(Message(status), HasSubstr("model.safetensors.index.json: "));
  }
}

TEST(WeightFilesTest, DeepIndex) {
  const TempDir dir;
  const std::string deep = std::string(1000000, '[') + std::string(1000000, ']');
  dir.Write("model.safetensors.index.json", "{\"weight_map\":{\"a\":" + deep + "}}");
  EXPECT_THAT(Message(WeightFiles::Open(dir.path()).status()), HasSubstr("weight_map: expected a JSON object"));
}

TEST(WeightFilesTest, MissingShard) {
  const TempDir dir;
  dir.Write("model.safetensors.index.json", R"({"weight_map":{"a":"1.safetensors"}})");
  const absl::Status status = WeightFiles::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("1.safetensors: cannot open"));
}

TEST(WeightFilesTest, IndexIsADirectory) {
  const TempDir dir;
  fs::create_directory(dir.path() / "model.safetensors.index.json");
  EXPECT_EQ(WeightFiles::Open(dir.path()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace midlayer
