// What the golden files of representation metrics have in common.
#ifndef MIDLAYER_TESTS_REFERENCE_SCORING_GOLDEN_H_
#define MIDLAYER_TESTS_REFERENCE_SCORING_GOLDEN_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/scoring/entropy.h"
#include "tests/reference/golden.h"

namespace midlayer::reference {

inline const std::map<std::string, EntropyNormalization>& Normalizations() {
  static const std::map<std::string, EntropyNormalization> normalizations = {
      {"raw", EntropyNormalization::kRaw},           {"logN", EntropyNormalization::kLogN},
      {"logD", EntropyNormalization::kLogD},         {"maxEntropy", EntropyNormalization::kMaxEntropy},
      {"logNlogD", EntropyNormalization::kLogNLogD},
  };
  return normalizations;
}

// float64, or rounded to float32 where the file says so.
inline at::Tensor Matrix(const nlohmann::json& rows, bool float32) {
  const auto values = rows.get<std::vector<std::vector<double>>>();
  at::Tensor matrix =
      at::empty({static_cast<int64_t>(values.size()), static_cast<int64_t>(values.at(0).size())}, at::kDouble);
  double* next = matrix.mutable_data_ptr<double>();
  for (const auto& row : values) next = std::copy(row.begin(), row.end(), next);
  return float32 ? matrix.to(at::kFloat) : matrix;
}

inline bool IsFloat32(const Golden& golden) {
  return golden.params().value("dtype", "float64").find("float32") != std::string::npos;
}

inline std::string Of(const std::string& what, size_t layer) { return what + ", layer " + std::to_string(layer); }

// {"raw": [one a layer], "logN": ...} against raw values.
inline void ExpectNormalized(const std::vector<absl::StatusOr<double>>& raw, const nlohmann::json& expected, int64_t n,
                             int64_t d, double tolerance, const std::string& what) {
  for (const auto& [name, values] : expected.items()) {
    ASSERT_EQ(values.size(), raw.size()) << what;
    for (size_t layer = 0; layer < raw.size(); ++layer) {
      ASSERT_TRUE(raw[layer].ok()) << Of(what, layer) << raw[layer].status();
      ExpectClose(Normalize(*raw[layer], Normalizations().at(name), n, d).value(), values[layer], tolerance,
                  Of(what + " " + name, layer));
    }
  }
}

inline std::vector<std::vector<int64_t>> PermutationsOf(const nlohmann::json& value) {
  return value.get<std::vector<std::vector<int64_t>>>();
}

}  // namespace midlayer::reference

#endif  // MIDLAYER_TESTS_REFERENCE_SCORING_GOLDEN_H_
