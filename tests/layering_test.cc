// Reads the #include lines of the server: folders depend on folders below them only, and the libraries that must not
// spread (gRPC and protobuf, libtorch) stay where they are.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

// A folder may include itself and those of lower levels. "" is server/ itself: main.cc, flags and process.
const std::map<std::string, int>& Levels() {
  static const std::map<std::string, int> levels = {
      {"ffi", 0},        {"base", 1},    {"tokenizer", 2}, {"weights", 2}, {"nn", 2},
      {"statistics", 2}, {"augment", 2}, {"telemetry", 2}, {"scoring", 3}, {"models", 3},
      {"selection", 3},  {"engine", 4},  {"service", 5},   {"", 6},
  };
  return levels;
}

// The folder of server/FOLDER/file, "" for server/file.
std::string FolderOf(const std::string& path) {
  const size_t first = path.find('/'), second = path.find('/', first + 1);
  return second == std::string::npos ? "" : path.substr(first + 1, second - first - 1);
}

bool StartsWithAny(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [text](std::string_view start) { return text.starts_with(start); });
}

bool IsGrpc(std::string_view header) {
  return header.ends_with(".pb.h") || StartsWithAny(header, {"grpc/", "grpcpp/", "google/protobuf/", "midlayer/v1/"});
}

bool MayUseGrpc(std::string_view file) {
  return StartsWithAny(file, {"server/service/", "server/main.cc", "server/flags.", "server/process."});
}

bool IsTorch(std::string_view header) { return StartsWithAny(header, {"ATen/", "c10/", "torch/", "caffe2/"}); }

bool MayUseTorch(std::string_view file) {
  return StartsWithAny(file, {"server/nn/", "server/scoring/", "server/models/transformer", "server/models/device",
                              "server/models/adapter_merge", "server/models/pooling_head", "server/models/tensor_copy",
                              "server/engine/torch_runner", "server/engine/torch_scorer", "server/engine/pool",
                              "server/engine/dtype_probe", "server/engine/load_model", "server/engine/layer_scorer",
                              "server/engine/set_metrics"});
}

// What is wrong with `file` including `header`, both from the repository's root.
std::optional<std::string> Violation(const std::string& file, const std::string& header) {
  if (IsGrpc(header) && !MayUseGrpc(file)) return file + " includes " + header + " (gRPC, protobuf)";
  if (IsTorch(header) && !MayUseTorch(file)) return file + " includes " + header + " (libtorch)";
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

// The header of an #include line, however it is spaced; empty for any other line.
std::string HeaderOf(const std::string& line) {
  const size_t open = line.find_first_of("<\""), close = line.find_first_of(">\"", open + 1);
  if (open == std::string::npos || close == std::string::npos) return "";
  std::string directive = line.substr(0, open);
  std::erase_if(directive, [](char c) { return c == ' ' || c == '\t'; });
  return directive == "#include" ? line.substr(open + 1, close - open - 1) : "";
}

std::vector<std::string> IncludesOf(const fs::path& file) {
  std::vector<std::string> headers;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (std::string header = HeaderOf(line); !header.empty()) headers.push_back(std::move(header));
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
      {"server/engine/batch.cc", "client/cli/names.h", true},
      {"server/engine/batch.cc", "../models/description.h", true},
      {"server/engine/batch.cc", "vector", false},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Violation(test.file, test.header).has_value(), test.refused) << test.file << " includes " << test.header;
  }
}

TEST(LayeringTest, ReadsIncludeLines) {
  const std::pair<const char*, const char*> cases[] = {
      {"#include <vector>", "vector"}, {"  #  include \"server/base/status.h\"  // why", "server/base/status.h"},
      {"#define X \"a.h\"", ""},       {"// #include <vector>", ""},
      {"#include MACRO", ""},          {"", ""},
  };
  for (const auto& [line, header] : cases) EXPECT_EQ(HeaderOf(line), header) << line;
}

}  // namespace
}  // namespace midlayer
