// What transformers computed: tests/golden.
#ifndef MIDLAYER_TESTS_ENGINE_GOLDEN_H_
#define MIDLAYER_TESTS_ENGINE_GOLDEN_H_

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/weights/safetensors.h"

namespace midlayer {

namespace fs = std::filesystem;

// MIDLAYER_SOURCE_DIR of the environment where the tree was carried elsewhere (bench/gpu_check.sh).
inline const fs::path kSource =
    std::getenv("MIDLAYER_SOURCE_DIR") != nullptr ? std::getenv("MIDLAYER_SOURCE_DIR") : MIDLAYER_SOURCE_DIR;
inline const fs::path kGolden = kSource / "tests/golden";

// A golden file: tensors by name.
class Golden {
 public:
  explicit Golden(const fs::path& file) : file_(SafetensorsFile::Open(file).value()) {}

  bool Has(const std::string& name) const { return file_->tensors().contains(name); }
  const std::vector<int64_t>& Shape(const std::string& name) const { return file_->tensors().at(name).shape; }
  template <typename T>
  std::vector<T> Values(const std::string& name) const {
    const TensorView& view = file_->tensors().at(name);
    std::vector<T> values(view.data.size() / sizeof(T));
    std::memcpy(values.data(), view.data.data(), view.data.size());
    return values;
  }
  // Row `row` of a matrix.
  std::vector<float> Row(const std::string& name, size_t row) const {
    const std::vector<float> all = Values<float>(name);
    const auto width = static_cast<size_t>(Shape(name).back());
    return {all.begin() + static_cast<std::ptrdiff_t>(row * width),
            all.begin() + static_cast<std::ptrdiff_t>((row + 1) * width)};
  }

 private:
  std::unique_ptr<SafetensorsFile> file_;
};

inline std::vector<std::string> Texts(const fs::path& file) {
  return nlohmann::json::parse(std::ifstream(file)).get<std::vector<std::string>>();
}

inline double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

// The texts of a golden model: its own where some have no token in it, else those that all share.
inline std::vector<std::string> TextsOf(const fs::path& directory) {
  return Texts(fs::exists(directory / "texts.json") ? directory / "texts.json" : kGolden / "texts.json");
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_ENGINE_GOLDEN_H_
