// tests/golden/scoring_labelled: what scikit-learn says of small sets of vectors.
#ifndef MIDLAYER_TESTS_SCORING_LABELLED_FIXTURES_H_
#define MIDLAYER_TESTS_SCORING_LABELLED_FIXTURES_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace midlayer {

inline nlohmann::json LabelledFixtures(const std::string& part) {
  return nlohmann::json::parse(
             std::ifstream(std::string(MIDLAYER_SOURCE_DIR) + "/tests/golden/scoring_labelled/fixtures.json"))
      .at(part);
}

// float64.
inline at::Tensor Matrix(const std::vector<std::vector<double>>& rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return at::tensor(values, at::kDouble).view({static_cast<int64_t>(rows.size()), -1});
}
inline at::Tensor MatrixOf(const nlohmann::json& rows) { return Matrix(rows.get<std::vector<std::vector<double>>>()); }

inline std::vector<int64_t> Labels(const nlohmann::json& labels) { return labels.get<std::vector<int64_t>>(); }

// A set of two vectors with a value in it that no metric takes.
inline at::Tensor WithNan() { return Matrix({{1, 2}, {NAN, 4}, {5, 6}}); }

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SCORING_LABELLED_FIXTURES_H_
