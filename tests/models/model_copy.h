// Copies of the golden models that a test may spoil.
#ifndef MIDLAYER_TESTS_MODELS_MODEL_COPY_H_
#define MIDLAYER_TESTS_MODELS_MODEL_COPY_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace midlayer {

inline std::filesystem::path GoldenModel(std::string_view name) {
  return std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden" / "models" / name;
}

// The JSON files of a golden model in a directory of its own, removed at the end.
class ModelCopy {
 public:
  explicit ModelCopy(std::string_view golden) {
    namespace fs = std::filesystem;
    std::string pattern = (fs::temp_directory_path() / "midlayer_model_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    const fs::path source = GoldenModel(golden);
    for (const auto& entry : fs::recursive_directory_iterator(source)) {
      if (entry.path().extension() != ".json") continue;
      const fs::path target = path_ / fs::relative(entry.path(), source);
      fs::create_directories(target.parent_path());
      fs::copy_file(entry.path(), target);
    }
  }
  ~ModelCopy() { std::filesystem::remove_all(path_); }
  ModelCopy(const ModelCopy&) = delete;
  ModelCopy& operator=(const ModelCopy&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Replaces the whole file.
  void Write(std::string_view file, std::string_view content) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file, std::ios::binary) << content;
  }

  // Merges `patch` (RFC 7396: null takes a key away, what is not an object replaces everything) into the file.
  void Edit(std::string_view file, std::string_view patch) const {
    std::ifstream stream(path_ / file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    nlohmann::json json = text.empty() ? nlohmann::json::object() : nlohmann::json::parse(text);
    json.merge_patch(nlohmann::json::parse(patch));
    Write(file, json.dump());
  }

  void Remove(std::string_view file) const { std::filesystem::remove(path_ / file); }

 private:
  std::filesystem::path path_;
};

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_MODELS_MODEL_COPY_H_
