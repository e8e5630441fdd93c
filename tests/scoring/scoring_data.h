// The golden values of tests/golden/scoring, and tensors for tests.
#ifndef MIDLAYER_TESTS_SCORING_SCORING_DATA_H_
#define MIDLAYER_TESTS_SCORING_SCORING_DATA_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "nlohmann/json.hpp"

namespace midlayer {

inline const nlohmann::json& ScoringGoldens() {
  static const nlohmann::json goldens = nlohmann::json::parse(
      std::ifstream(std::string(MIDLAYER_SOURCE_DIR) + "/tests/golden/scoring/representation.json"));
  return goldens;
}

inline void AppendNumbers(const nlohmann::json& value, std::vector<double>& numbers) {
  if (value.is_number()) return numbers.push_back(value.get<double>());
  for (const nlohmann::json& part : value) AppendNumbers(part, numbers);
}

// Nested lists of equal lengths, in float64.
inline at::Tensor ToTensor(const nlohmann::json& value) {
  std::vector<int64_t> shape;
  for (const nlohmann::json* at = &value; at->is_array(); at = &at->at(0)) {
    shape.push_back(static_cast<int64_t>(at->size()));
  }
  std::vector<double> values;
  AppendNumbers(value, values);
  return at::tensor(values).view(shape);
}

inline at::Tensor Random(int64_t rows, int64_t columns) { return at::randn({rows, columns}, at::kDouble); }

// An orthogonal matrix.
inline at::Tensor Rotation(int64_t size) { return std::get<0>(at::linalg_qr(Random(size, size))); }

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SCORING_SCORING_DATA_H_
