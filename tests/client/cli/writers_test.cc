#include "client/cli/writers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/npy_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

using std::string_literals::operator""s;
using ::testing::HasSubstr;
using ::testing::StartsWith;

v1::OutputInfo Output(std::vector<int> layers, v1::Pooling pooling) {
  v1::OutputInfo output;
  for (const int layer : layers) output.add_layers(layer);
  output.set_pooling(pooling);
  return output;
}

std::string WriteAll(OutputFormat format, bool seekable, const std::vector<Row>& rows) {
  std::ostringstream out;
  const auto writer = MakeWriter(format, &out, seekable);
  for (const Row& row : rows) EXPECT_TRUE(writer->Write(row).ok());
  EXPECT_TRUE(writer->Finish().ok());
  return out.str();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(JsonWriterTest, ExactLine) {
  const v1::OutputInfo output = Output({3}, v1::POOLING_WEIGHTED_MEAN);
  const std::vector<float> values = {1.0F, -0.5F, 0.1F, 1e-10F};
  EXPECT_EQ(WriteAll(OutputFormat::kJson, false, {{"say \"hi\"\n\xC3\xBC", 7, false, &output, values}}),
            "{\"text\":\"say \\\"hi\\\"\\n\xC3\xBC\",\"layer\":3,\"pooling\":\"weighted_mean\",\"tokens\":7,"
            "\"embedding\":[1,-0.5,0.1,1e-10]}\n");
}

TEST(JsonWriterTest, SeveralLayersTruncatedAndNotFinite) {
  const v1::OutputInfo output = Output({3, 6}, v1::POOLING_MEAN);
  const std::vector<float> values = {std::numeric_limits<float>::infinity(), std::nanf("")};
  EXPECT_EQ(WriteAll(OutputFormat::kJson, false, {{"a", 7, true, &output, values}}),
            "{\"text\":\"a\",\"layer\":[3,6],\"pooling\":\"mean\",\"tokens\":7,\"truncated\":true,"
            "\"embedding\":[null,null]}\n");
}

TEST(JsonWriterTest, FloatsKeepTheirBits) {
  std::vector<float> values = {0.0F,
                               -0.0F,
                               1.0F / 3,
                               std::numeric_limits<float>::min(),
                               std::numeric_limits<float>::denorm_min(),
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::lowest(),
                               16777217.0F,
                               0.1F};
  uint32_t bits = 12345;
  while (values.size() < 10000) {
    bits = bits * 1664525 + 1013904223;
    const auto value = std::bit_cast<float>(bits);
    if (std::isfinite(value)) values.push_back(value);
  }
  const v1::OutputInfo output = Output({0}, v1::POOLING_CLS);
  const auto json = nlohmann::json::parse(WriteAll(OutputFormat::kJson, false, {{"a", 1, false, &output, values}}));
  ASSERT_EQ(json["embedding"].size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    // "-0" is an integer to nlohmann-json, which knows no negative zero among them; readers of doubles keep the sign.
    if (values[i] == 0) continue;
    const auto read = static_cast<float>(json["embedding"][i].get<double>());
    EXPECT_EQ(std::bit_cast<uint32_t>(read), std::bit_cast<uint32_t>(values[i])) << values[i];
  }
}

// Takes an array file apart, byte by byte.
struct Npy {
  std::string dictionary;
  std::vector<float> values;
};

Npy ParseNpy(const std::string& bytes) {
  EXPECT_GE(bytes.size(), 10);
  EXPECT_EQ(bytes.substr(0, 8), "\x93NUMPY\x01\x00"s);
  const size_t length = static_cast<uint8_t>(bytes[8]) + 256 * static_cast<uint8_t>(bytes[9]);
  EXPECT_EQ((10 + length) % 64, 0);
  EXPECT_EQ(bytes[10 + length - 1], '\n');
  Npy npy = {bytes.substr(10, length), {}};
  npy.dictionary.erase(npy.dictionary.find_last_not_of(" \n") + 1);
  const std::string data = bytes.substr(10 + length);
  EXPECT_EQ(data.size() % sizeof(float), 0);
  npy.values.resize(data.size() / sizeof(float));
  if (!data.empty()) std::memcpy(npy.values.data(), data.data(), data.size());
  return npy;
}

TEST(NpyWriterTest, ArrayEitherWay) {
  const v1::OutputInfo output = Output({3}, v1::POOLING_MEAN);
  const std::vector<float> a = {1, 2, 3};
  const std::vector<float> b = {-1, 0.1F, 1e30F};
  for (const bool seekable : {false, true}) {
    const Npy npy =
        ParseNpy(WriteAll(OutputFormat::kNpy, seekable, {{"a", 1, false, &output, a}, {"b", 1, false, &output, b}}));
    EXPECT_EQ(npy.dictionary, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    EXPECT_EQ(npy.values, (std::vector<float>{1, 2, 3, -1, 0.1F, 1e30F}));
    EXPECT_EQ(ParseNpy(WriteAll(OutputFormat::kNpy, seekable, {})).dictionary,
              "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0), }");
  }
}

TEST(NpyWriterTest, BeginsWhereTheOutputStands) {
  std::ostringstream out;
  out << "before";
  const v1::OutputInfo output = Output({3}, v1::POOLING_MEAN);
  const std::vector<float> a = {1, 2};
  NpyWriter writer(&out, true);
  ASSERT_TRUE(writer.Write({"a", 1, false, &output, a}).ok());
  ASSERT_TRUE(writer.Finish().ok());
  out << "after";
  EXPECT_EQ(out.str(), "before" + NpyHeader(1, 2) + std::string(reinterpret_cast<const char*>(a.data()), 8) + "after");
}

TEST(NpyWriterTest, HeaderNeverGrows) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(NpyHeader(0, 0).size(), 128);
  EXPECT_EQ(NpyHeader(most, most).size(), 128);
  EXPECT_THAT(NpyHeader(most, most), HasSubstr("(9223372036854775807, 9223372036854775807), }"));
}

TEST(NpyWriterTest, OtherSizeIsRefused) {
  const v1::OutputInfo output = Output({3}, v1::POOLING_MEAN);
  const std::vector<float> a = {1, 2};
  const std::vector<float> b = {1};
  std::ostringstream out;
  NpyWriter writer(&out, true);
  ASSERT_TRUE(writer.Write({"a", 1, false, &output, a}).ok());
  EXPECT_EQ(writer.Write({"b", 1, false, &output, b}).code(), absl::StatusCode::kInternal);
}

TEST(WriterTest, FailedOutputIsReported) {
  const v1::OutputInfo output = Output({3}, v1::POOLING_MEAN);
  const std::vector<float> a = {1, 2};
  for (const OutputFormat format : {OutputFormat::kJson, OutputFormat::kNpy, OutputFormat::kTable}) {
    std::ostringstream out;
    out.setstate(std::ios::badbit);
    const auto writer = MakeWriter(format, &out, true);
    EXPECT_THAT(std::string(writer->Write({"a", 1, false, &output, a}).message()),
                StartsWith("cannot write the output"));
  }
}

TEST(TableWriterTest, ColumnsStandBelowEachOther) {
  const v1::OutputInfo mean = Output({3}, v1::POOLING_MEAN);
  const v1::OutputInfo weighted = Output({12}, v1::POOLING_WEIGHTED_MEAN);
  const std::vector<float> a = {1, 0, 0, 0};
  const std::vector<float> b = {-0.6F, 0.8F, 0, 0};
  const std::string text = "\xE4\xB8\xAD\xE6\x96\x87 and a rather long text of which the end cannot be seen";
  const std::vector<std::string> lines =
      Lines(WriteAll(OutputFormat::kTable, false, {{"short", 3, false, &mean, a}, {text, 128, true, &weighted, b}}));
  ASSERT_EQ(lines.size(), 9);
  EXPECT_EQ(lines[0], "text                                  tokens  layer  pooling        dims  first values");
  EXPECT_EQ(lines[1],
            "short                                      3      3  mean              4   1.0000  0.0000  0.0000 …");
  EXPECT_EQ(Width(lines[2]), Width(lines[1]));
  EXPECT_THAT(lines[2], HasSubstr("…    128*     12  weighted_mean     4  -0.6000"));
  EXPECT_EQ(lines[4], "* tokens were cut");
  EXPECT_EQ(lines[6], "cosine                                        1      2");
  for (const std::string& line : lines) EXPECT_LE(Width(line), 100) << line;
  EXPECT_THAT(lines[7], StartsWith(" 1  short "));
}

TEST(TableWriterTest, MatrixForFewTextsOnly) {
  const v1::OutputInfo output = Output({3}, v1::POOLING_MEAN);
  const std::vector<float> a = {3, 4};
  const std::vector<float> zero = {0, 0};
  for (const size_t rows : {1, 2, 12, 13}) {
    std::vector<Row> all(rows, {std::string_view("a text of some words, more than fit"), 3, false, &output, a});
    all.back().values = zero;
    const std::string table = WriteAll(OutputFormat::kTable, false, all);
    EXPECT_EQ(table.find("cosine") != std::string::npos, rows == 2 || rows == 12) << rows;
    for (const std::string& line : Lines(table)) EXPECT_LE(Width(line), 100) << line;
    if (rows == 2) {
      EXPECT_THAT(table, HasSubstr("1.000    n/a"));
    }
  }
}

}  // namespace
}  // namespace midlayer::cli
