#include "server/weights/safetensors.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kHeader[] = R"({"__metadata__":{"format":"pt"},)"
                           R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                           R"("b":{"dtype":"F16","shape":[3],"data_offsets":[24,30]},)"
                           R"("ids":{"dtype":"I64","shape":[],"data_offsets":[30,38]}}  )";

// The 38 data bytes are 0, 1, 2, ...
std::string Data(size_t size) {
  std::string data;
  for (size_t i = 0; i < size; ++i) data.push_back(static_cast<char>(i));
  return data;
}

// A header of one tensor "t" with these fields.
std::string One(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return std::string("{\"t\":{\"dtype\":\"")
      .append(dtype)
      .append("\",\"shape\":")
      .append(shape)
      .append(",\"data_offsets\":")
      .append(offsets)
      .append("}}");
}

// Reads every byte of every tensor, so that a view out of bounds does not go unseen.
int Touch(const SafetensorsFile& file) {
  int sum = 0;
  for (const auto& [name, view] : file.tensors()) {
    for (const std::byte byte : view.data) sum += static_cast<int>(byte);
  }
  return sum;
}

absl::Status OpenBytes(const TempDir& dir, const std::string& bytes) {
  const auto file = SafetensorsFile::Open(dir.Write("t.safetensors", bytes));
  if (file.ok()) Touch(**file);
  return file.status();
}

TEST(SafetensorsTest, ReadsTensors) {
  const TempDir dir;
  const auto path = dir.Write("model.safetensors", SafetensorsBytes(kHeader, Data(38)));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto& tensors = (*file)->tensors();
  ASSERT_EQ(tensors.size(), 3u);
  const TensorView& w = tensors.at("w");
  EXPECT_EQ(w.type, TensorType::kFloat32);
  EXPECT_EQ(w.dtype, "F32");
  EXPECT_EQ(w.file, path.string());
  EXPECT_THAT(w.shape, ElementsAre(2, 3));
  ASSERT_EQ(w.data.size(), 24u);
  EXPECT_EQ(w.data[23], std::byte{23});
  EXPECT_EQ(tensors.at("b").type, TensorType::kFloat16);
  EXPECT_EQ(tensors.at("b").data[0], std::byte{24});
  EXPECT_EQ(tensors.at("ids").type, TensorType::kInt64);
  EXPECT_THAT(tensors.at("ids").shape, IsEmpty());
  EXPECT_EQ(tensors.at("ids").data.size(), 8u);
}

TEST(SafetensorsTest, ReadsMetadata) {
  const std::pair<std::string_view, std::map<std::string, std::string>> cases[] = {
      {R"({"__metadata__":{"format":"pt"}})", {{"format", "pt"}}},
      {R"({"__metadata__":{"a":"","":"b","\u00e9":"\ud83d\ude00"}})", {{"a", ""}, {"", "b"}, {"é", "😀"}}},
      {R"({"__metadata__":{}})", {}},
      {"{}", {}},
  };
  const TempDir dir;
  for (const auto& [header, expected] : cases) {
    const auto file = SafetensorsFile::Open(dir.Write("t", SafetensorsBytes(header, "")));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->metadata(), expected) << header;
  }
}

TEST(SafetensorsTest, Types) {
  const struct {
    std::string_view dtype;
    TensorType type;
    size_t size;
  } cases[] = {
      {"F64", TensorType::kFloat64, 8},   {"F32", TensorType::kFloat32, 4}, {"F16", TensorType::kFloat16, 2},
      {"BF16", TensorType::kBFloat16, 2}, {"I64", TensorType::kInt64, 8},   {"I32", TensorType::kInt32, 4},
      {"I8", TensorType::kInt8, 1},       {"U8", TensorType::kUint8, 1},    {"BOOL", TensorType::kBool, 1},
      {"I16", TensorType::kOther, 2},     {"U64", TensorType::kOther, 8},   {"F8_E4M3", TensorType::kOther, 1},
  };
  const TempDir dir;
  for (const auto& test : cases) {
    SCOPED_TRACE(std::string(test.dtype));
    const std::string header = One(test.dtype, "[3]", absl::StrCat("[0,", 3 * test.size, "]"));
    const auto file = SafetensorsFile::Open(dir.Write("t", SafetensorsBytes(header, Data(3 * test.size))));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->tensors().at("t").type, test.type);
    EXPECT_EQ((*file)->tensors().at("t").dtype, test.dtype);
  }
}

TEST(SafetensorsTest, OddButGood) {
  const std::pair<std::string, std::string> cases[] = {
      {"{}", ""},
      {R"({"__metadata__":{}})", ""},
      {One("F32", "[0]", "[0,0]"), ""},
      {One("F32", "[3,0,5]", "[0,0]"), ""},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
       "xy"},
      {R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"},
      {R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"},
      {"  " + One("U8", "[1]", "[0,1]"), "x"},
  };
  const TempDir dir;
  for (const auto& [header, data] : cases) {
    EXPECT_TRUE(OpenBytes(dir, SafetensorsBytes(header, data)).ok())
        << header << OpenBytes(dir, SafetensorsBytes(header, data));
  }
}

TEST(SafetensorsTest, BadHeaders) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"not json", ""},
      {"[]", ""},
      {"null", ""},
      {"\"text\"", ""},
      {"{", ""},
      {std::string(10000, '['), ""},
      {"{\"\xFF\":1}", ""},
      {R"({"t":1})", ""},
      {R"({"t":{}})", ""},
      {R"({"t":{"dtype":"F32","shape":[1]}})", "1234"},
      {R"({"t":{"shape":[1],"data_offsets":[0,4]}})", "1234"},
      {One("F31", "[1]", "[0,4]"), "1234"},
      {One("F32", "[1]", "[0,4]"), "12345"},   // more data than tensors
      {One("F32", "[1]", "[0,4]"), "123"},     // less
      {One("F32", "[1]", "[1,5]"), "12345"},   // hole at the start
      {One("F32", "[2]", "[0,4]"), "1234"},    // the shape asks for more
      {One("F64", "[1]", "[0,4]"), "1234"},    // the type asks for more
      {One("F32", "[0]", "[0,4]"), "1234"},    // the shape asks for less
      {One("F4", "[1]", "[0,1]"), "1"},        // half a byte
      {One("F32", "[-1]", "[0,4]"), "1234"},   // negative dimension
      {One("F32", "[1.5]", "[0,4]"), "1234"},  // not an integer
      {One("F32", "1", "[0,4]"), "1234"},      // not a list
      {One("F32", "[1]", "[4,0]"), "1234"},    // end before begin
      {One("F32", "[1]", "[-4,0]"), "1234"},   // negative offset
      {One("F32", "[1]", "[0]"), "1234"},      // half of the offsets
      {One("F32", "[1]", "[0,4,8]"), "1234"},  // too many of them
      {One("F32", "[1]", "[0,18446744073709551616]"), "1234"},
      {One("F32", "[4611686018427387905]", "[0,4]"), "1234"},                 // times 4 is 4, modulo 2^64
      {One("F32", "[4294967296,4294967296]", "[0,0]"), ""},                   // product is 0, modulo 2^64
      {One("U8", "[18446744073709551615]", "[0,18446744073709551615]"), ""},  // the end wraps around
      {One("U8", "[18446744073709551615,0]", "[0,0]"), ""},                   // does not fit int64
      {One("F32", "[1]", "[0,4]") + "x", "1234"},                             // something after the object
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
       "123456"},  // overlap
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
       "1234"},  // the same bytes twice
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
       "123456"},  // hole between
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
       "12"},  // the same name twice, in agreement
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "1234"},  // the same name twice
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"\u0061":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})",
       "12"},  // the same name twice, written differently
      {R"({"__metadata__":{"n":1},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "1"},
  };
  const TempDir dir;
  for (const auto& [header, data] : cases) {
    const absl::Status status = OpenBytes(dir, SafetensorsBytes(header, data));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << header.substr(0, 300) << " " << data;
    EXPECT_THAT(std::string(status.message()), HasSubstr("t.safetensors: "));
  }
}

TEST(SafetensorsTest, LyingHeaderLength) {
  const std::string header = kHeader;
  const TempDir dir;
  for (const uint64_t told : {uint64_t{0}, uint64_t{1}, header.size() - 20, header.size() + 38, header.size() + 39,
                              uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    EXPECT_EQ(OpenBytes(dir, SafetensorsBytes(header, Data(38), told)).code(), absl::StatusCode::kInvalidArgument)
        << told;
  }
}

TEST(SafetensorsTest, TruncatedAnywhere) {
  const std::string bytes = SafetensorsBytes(kHeader, Data(38));
  const TempDir dir;
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(OpenBytes(dir, bytes.substr(0, size)).code(), absl::StatusCode::kInvalidArgument) << size;
  }
  EXPECT_TRUE(OpenBytes(dir, bytes).ok());
  EXPECT_FALSE(OpenBytes(dir, bytes + "x").ok());
}

TEST(SafetensorsTest, NotARegularFile) {
  const TempDir dir;
  EXPECT_EQ(SafetensorsFile::Open(dir.path() / "none").status().code(), absl::StatusCode::kNotFound);
  const absl::Status status = SafetensorsFile::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("expected a regular file"));
  const auto pipe = dir.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(SafetensorsFile::Open(pipe).status().code(), absl::StatusCode::kInvalidArgument);
}

// Every byte of length and header, changed in several ways: an error or a file whose tensors can all be read.
TEST(SafetensorsTest, AnyDamageIsAnErrorOrAFile) {
  const std::string bytes = SafetensorsBytes(kHeader, Data(38));
  const TempDir dir;
  int accepted = 0;
  for (size_t i = 0; i < 8 + sizeof(kHeader) - 1; ++i) {
    for (const int flip : {0x01, 0x02, 0x10, 0x20, 0x80, 0xFF}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      accepted += OpenBytes(dir, damaged).ok();
    }
  }
  EXPECT_GT(accepted, 0);  // A letter of a name may change.
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes.substr(0, random() % (bytes.size() + 1));
    for (int n = random() % 4; n > 0 && !damaged.empty(); --n) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    (void)OpenBytes(dir, damaged);
  }
}

// How much of the mapping that holds `view` is in this process's memory, as /proc/self/smaps has it.
long ResidentKb(const TensorView& view) {
  std::ifstream maps("/proc/self/smaps");
  const auto address = reinterpret_cast<uintptr_t>(view.data.data());
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin, end;
    long kb;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= address && address < end;
    if (inside && std::sscanf(line.c_str(), "Rss: %ld kB", &kb) == 1) return kb;
  }
  return -1;
}

TEST(SafetensorsTest, OpenReadsNoTensorAndReleaseGivesPagesBack) {
  constexpr size_t kSize = 16 << 20;
  constexpr long kFewKb = 4 << 10;  // The kernel maps up to a huge page (2 MiB) around one that is touched.
  const TempDir dir;
  const std::string header = One("U8", absl::StrCat("[", kSize, "]"), absl::StrCat("[0,", kSize, "]"));
  const auto path = dir.Write("big", SafetensorsBytes(header, std::string(kSize, 'x')));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const TensorView& view = (*file)->tensors().at("t");
  EXPECT_LE(ResidentKb(view), kFewKb);
  const int sum = Touch(**file);
  EXPECT_GE(ResidentKb(view), static_cast<long>(kSize >> 10));
  const auto other = SafetensorsFile::Open(dir.Write("other", SafetensorsBytes("{}", "")));
  (*other)->Release(view);
  EXPECT_GE(ResidentKb(view), static_cast<long>(kSize >> 10));
  (*file)->Release(view);
  EXPECT_LE(ResidentKb(view), kFewKb);
  EXPECT_EQ(Touch(**file), sum);
  (*file)->Release(TensorView());
}

}  // namespace
}  // namespace midlayer
