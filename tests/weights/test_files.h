// Small safetensors files for the tests of this folder.
#ifndef MIDLAYER_TESTS_WEIGHTS_TEST_FILES_H_
#define MIDLAYER_TESTS_WEIGHTS_TEST_FILES_H_

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace midlayer {

// A directory of its own for each test, removed at the end.
class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string path = (parent / "midlayer_test_XXXXXX").string();
    path_ = mkdtemp(path.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // Writes `content` to the file `name` and returns its path.
  std::filesystem::path Write(std::string_view name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A safetensors file: the header's length (as told, or the true one), the header, the data.
inline std::string SafetensorsBytes(std::string_view header, std::string_view data, uint64_t told_length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(told_length >> (8 * i) & 0xFF));
  return bytes.append(header).append(data);
}

inline std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  return SafetensorsBytes(header, data, header.size());
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_WEIGHTS_TEST_FILES_H_
