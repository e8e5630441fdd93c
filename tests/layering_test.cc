// Reads the #include lines of the server: folders depend on folders below them only, and the libraries that must not
// spread (gRPC and protobuf, libtorch) stay where they are.
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

// A folder may include itself and those of lower levels. "" is server/ itself: main.cc and flags.
const std::map<std::string, int>& Levels() {
  static const std::map<std::string, int> levels = {
      {"ffi", 0},       {"base", 1},   {"tokenizer", 2}, {"weights", 2}, {"nn", 2}, {"scoring", 2},
      {"telemetry", 2}, {"models", 3}, {"engine", 4},    {"service", 5}, {"", 6},
  };
  return levels;
}

// The folder of server/FOLDER/file, "" for server/file.
std::string FolderOf(const std::string& path) {
  const size_t first = path.find('/'), second = path.find('/', first + 1);
  return second == std::string::npos ? "" : path.substr(first + 1, second - first - 1);
}

bool MayUseGrpc(const std::string& file) {
  return std::regex_search(file, std::regex("^server/(service/|main\\.cc|flags\\.)"));
}

bool MayUseTorch(const std::string& file) {
  return std::regex_search(
      file, std::regex("^server/(nn/|models/(transformer|device)|engine/(torch_runner|pooling|load_model))"));
}

// What is wrong with `file` including `header`, both from the repository's root.
std::optional<std::string> Violation(const std::string& file, const std::string& header) {
  static const std::regex grpc("^(grpc|grpcpp|google/protobuf|midlayer/v1)/|\\.pb\\.h$");
  static const std::regex torch("^(ATen|c10|torch|caffe2)/");
  if (std::regex_search(header, grpc) && !MayUseGrpc(file)) return file + " includes " + header + " (gRPC, protobuf)";
  if (std::regex_search(header, torch) && !MayUseTorch(file)) return file + " includes " + header + " (libtorch)";
  if (header.starts_with("client/") || header.starts_with("tests/") || header.starts_with("../")) {
    return file + " includes " + header + " (outside the server)";
  }
  if (!header.starts_with("server/")) return std::nullopt;
  const std::string from = FolderOf(file), to = FolderOf(header);
  if (!Levels().contains(from)) return file + ": folder without a level, give it one in this test";
  if (!Levels().contains(to)) return header + ": folder without a level, give it one in this test";
  if (from != to && Levels().at(to) >= Levels().at(from)) return file + " includes " + header + " (not below it)";
  return std::nullopt;
}

std::vector<std::string> IncludesOf(const fs::path& file) {
  static const std::regex include("^\\s*#\\s*include\\s*[<\"]([^>\"]+)[>\"]");
  std::vector<std::string> headers;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::smatch match;
    if (std::regex_search(line, match, include)) headers.push_back(match[1]);
  }
  return headers;
}

std::vector<std::string> SourcesOf(const fs::path& root) {
  std::vector<std::string> sources;
  for (const auto& entry : fs::recursive_directory_iterator(root / "server")) {
    const std::string extension = entry.path().extension().string();
    const bool source = extension == ".cc" || extension == ".h" || extension == ".cpp" || extension == ".in";
    if (entry.is_regular_file() && source) sources.push_back(fs::relative(entry.path(), root).string());
  }
  return sources;
}

TEST(LayeringTest, TheServersIncludesPointOneWay) {
  const fs::path root = MIDLAYER_SOURCE_DIR;
  int includes = 0;
  for (const std::string& file : SourcesOf(root)) {
    for (const std::string& header : IncludesOf(root / file)) {
      if (const auto violation = Violation(file, header)) ADD_FAILURE() << *violation;
      includes += header.starts_with("server/") ? 1 : 0;
    }
  }
  EXPECT_GT(includes, 100) << "the includes are not read";
}

TEST(LayeringTest, EveryFolderHasALevel) {
  for (const std::string& file : SourcesOf(MIDLAYER_SOURCE_DIR)) {
    EXPECT_TRUE(Levels().contains(FolderOf(file))) << file;
  }
}

// The rules themselves.
TEST(LayeringTest, WhatIsRefusedAndWhatIsNot) {
  const struct {
    const char* file;
    const char* header;
    bool refused;
  } cases[] = {
      {"server/base/status.cc", "server/base/utf8.h", false},
      {"server/base/status.cc", "server/tokenizer/tokenizer.h", true},
      {"server/tokenizer/tokenizer.cc", "server/ffi/midlayer_ffi.h", false},
      {"server/tokenizer/tokenizer.cc", "server/weights/weight_files.h", true},
      {"server/models/bert.cc", "server/nn/activation.h", false},
      {"server/models/bert.cc", "server/weights/weight_files.h", false},
      {"server/models/bert.cc", "server/engine/request.h", true},
      {"server/engine/engine.cc", "server/models/description.h", false},
      {"server/engine/engine.cc", "server/service/convert.h", true},
      {"server/engine/engine.cc", "server/flags.h", true},
      {"server/service/convert.cc", "server/engine/engine.h", false},
      {"server/main.cc", "server/service/server.h", false},
      {"server/nn/functions.cc", "server/models/transformer.h", true},
      {"server/nn/functions.cc", "server/telemetry/telemetry.h", true},
      {"server/surprise/new.cc", "server/base/status.h", true},
      {"server/engine/engine.cc", "grpcpp/grpcpp.h", true},
      {"server/engine/engine.cc", "midlayer/v1/embedding.pb.h", true},
      {"server/models/description.cc", "google/protobuf/message.h", true},
      {"server/service/convert.h", "midlayer/v1/embedding.pb.h", false},
      {"server/main.cc", "google/protobuf/stubs/logging.h", false},
      {"server/engine/engine.cc", "ATen/ATen.h", true},
      {"server/engine/runner.h", "c10/core/Device.h", true},
      {"server/models/description.h", "torch/torch.h", true},
      {"server/service/convert.cc", "ATen/ATen.h", true},
      {"server/nn/functions.h", "ATen/ATen.h", false},
      {"server/models/transformer_load.cc", "ATen/ATen.h", false},
      {"server/models/device.cc", "c10/core/Device.h", false},
      {"server/engine/torch_runner.cc", "ATen/ATen.h", false},
      {"server/engine/batch.cc", "client/cpp/names.h", true},
      {"server/engine/batch.cc", "../models/description.h", true},
      {"server/engine/batch.cc", "vector", false},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Violation(test.file, test.header).has_value(), test.refused) << test.file << " includes " << test.header;
  }
}

}  // namespace
}  // namespace midlayer
