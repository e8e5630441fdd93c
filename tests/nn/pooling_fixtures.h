// Pooling heads as JSON has them: those of tests/golden/pooling, and the golden files of tests/reference.
#ifndef MIDLAYER_TESTS_NN_POOLING_FIXTURES_H_
#define MIDLAYER_TESTS_NN_POOLING_FIXTURES_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/nn/attention_pool.h"

namespace midlayer {

inline nlohmann::json PoolingFixtures() {
  return nlohmann::json::parse(std::ifstream(std::string(MIDLAYER_SOURCE_DIR) + "/tests/golden/pooling/fixtures.json"));
}

inline void Flatten(const nlohmann::json& nested, std::vector<double>& values) {
  if (!nested.is_array()) return values.push_back(nested.get<double>());
  for (const nlohmann::json& part : nested) Flatten(part, values);
}

// Lists of lists of … numbers, all of one length.
inline at::Tensor TensorOf(const nlohmann::json& nested, at::ScalarType dtype) {
  std::vector<int64_t> shape;
  for (const nlohmann::json* part = &nested; part->is_array(); part = &part->at(0)) {
    shape.push_back(static_cast<int64_t>(part->size()));
  }
  std::vector<double> values;
  Flatten(nested, values);
  return at::tensor(values, at::kDouble).view(shape).to(dtype);
}

// state_dict: by the names of attn_pool.pt.
inline AttentionPoolWeights WeightsOf(const nlohmann::json& state_dict, at::ScalarType dtype) {
  const auto take = [&](const std::string& name) { return TensorOf(state_dict.at(name), dtype); };
  const auto norm = [&](const std::string& module) {
    return AttentionPoolWeights::Norm{.weight = take(module + ".weight"), .bias = take(module + ".bias")};
  };
  const std::string attention = "cross_attend_blocks.0", mlp = "cross_attend_blocks.1";
  const std::vector<at::Tensor> key_value = take(attention + ".fn.to_kv.weight").chunk(2);
  const bool has_table = state_dict.contains("pos_emb.weight");
  return {.latents = take("latents"),
          .layer_table = has_table ? take("pos_emb.weight") : at::Tensor(),
          .row_norm = norm(attention + ".norm"),
          .latent_norm = norm(attention + ".norm_context"),
          .to_query = take(attention + ".fn.to_q.weight"),
          .to_key = key_value[0],
          .to_value = key_value[1],
          .to_out = take(attention + ".fn.to_out.weight"),
          .mlp_norm = norm(mlp + ".norm"),
          .mlp_in = take(mlp + ".fn.net.0.weight"),
          .mlp_in_bias = take(mlp + ".fn.net.0.bias"),
          .mlp_out = take(mlp + ".fn.net.2.weight"),
          .mlp_out_bias = take(mlp + ".fn.net.2.bias")};
}

// The largest difference, of both as float64.
inline double LargestDifference(const at::Tensor& got, const at::Tensor& expected) {
  return got.to(at::kDouble).sub(expected.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_NN_POOLING_FIXTURES_H_
