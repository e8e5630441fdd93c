// The trained pooling module, the five designs from hidden states to vectors, and the pooling of tokens. The designs
// are computed as the service does it: tokens of a text without its padding, pooled layer by layer, then the head. Only
// design 4 gets the padding too, as the original does; a service that packs tokens has none.
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/engine/pooling.h"
#include "server/models/pooling_head.h"
#include "server/nn/attention_pool.h"
#include "tests/nn/pooling_fixtures.h"
#include "tests/reference/golden.h"

namespace midlayer::reference {
namespace {

using nlohmann::json;

at::ScalarType DtypeOf(const Golden& golden) {
  return golden.params().value("dtype", "float64") == "float32" ? at::kFloat : at::kDouble;
}

void ExpectVector(const at::Tensor& got_D, const json& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(got_D.size(0), static_cast<int64_t>(expected.size())) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    ExpectClose(got_D[static_cast<int64_t>(i)].item<double>(), expected[i], tolerance, what);
  }
}

void ExpectVectors(const std::vector<at::Tensor>& got, const json& expected, double tolerance,
                   const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t text = 0; text < got.size(); ++text) {
    ExpectVector(got[text], expected[text], tolerance, what + " of text " + std::to_string(text));
  }
}

AttentionPool PoolOf(const Golden& golden) {
  return AttentionPool(WeightsOf(golden.input().at("state_dict"), DtypeOf(golden)),
                       {.heads = golden.params().at("heads").get<int64_t>()});
}

// The steps between are not looked at: what comes out depends on all of them.
void CheckModule(const Golden& golden) {
  const AttentionPool pool = PoolOf(golden);
  const at::Tensor x_BSD = TensorOf(golden.input().at("hidden"), DtypeOf(golden));
  const json& expected = golden.expected().at("embedding");
  ExpectVectors(pool.PoolBatch(x_BSD).unbind(), expected, golden.tolerance(), "batch");
  std::vector<at::Tensor> alone;
  for (const at::Tensor& x_SD : x_BSD.unbind()) alone.push_back(pool.Pool(x_SD));
  ExpectVectors(alone, expected, golden.tolerance(), "alone");
}

// The rows of x whose place in `kept` is 1.
at::Tensor Rows(const at::Tensor& x_TD, const std::vector<bool>& kept) {
  std::vector<at::Tensor> rows;
  for (size_t t = 0; t < kept.size(); ++t) {
    if (kept[t]) rows.push_back(x_TD[static_cast<int64_t>(t)]);
  }
  return at::stack(rows);
}

std::vector<bool> RealTokens(const Golden& golden, size_t text) {
  std::vector<bool> real;
  for (const json& bit : golden.input().at("attention_mask").at(text)) real.push_back(bit == 1);
  return real;
}

// Design 5 goes by the ids: a real token with the id of the padding is left out too.
std::vector<bool> TokensOfOtherIds(const Golden& golden, size_t text) {
  std::vector<bool> real;
  for (const json& id : golden.input().at("input_ids").at(text)) {
    real.push_back(id != golden.params().at("pad_token_id"));
  }
  return real;
}

// What becomes of each text: `layers` of its hidden states, tokens first chosen, then pooled, or each a row.
struct Design {
  bool multi_layer = false;
  std::vector<bool> (*tokens)(const Golden&, size_t text) = nullptr;  // null: all, padding too
  std::optional<Pooling> pooling;
};

// (S, D): what the head gets of a text.
at::Tensor RowsOf(const Golden& golden, const Design& design, size_t text) {
  const at::Tensor hidden_LBTD = TensorOf(golden.input().at("hidden_states"), DtypeOf(golden));
  std::vector<at::Tensor> rows;
  const int64_t last = hidden_LBTD.size(0) - 1;
  for (int64_t layer = design.multi_layer ? 1 : last; layer <= last; ++layer) {
    at::Tensor x_TD = hidden_LBTD[layer][static_cast<int64_t>(text)];
    if (design.tokens != nullptr) x_TD = Rows(x_TD, design.tokens(golden, text));
    if (!design.pooling) return x_TD;
    rows.push_back(Pool(x_TD, 0, *design.pooling));
  }
  return at::stack(rows);
}

void CheckDesign(const Golden& golden, const Design& design) {
  const json& expected = golden.expected().at("embedding");
  const AttentionPool pool = PoolOf(golden);
  std::vector<at::Tensor> got;
  for (size_t text = 0; text < expected.size(); ++text) got.push_back(pool.Pool(RowsOf(golden, design, text)));
  ExpectVectors(got, expected, golden.tolerance(), "vector");
}

// No head: the last real token, wherever the padding stands, in length 1.
void CheckDesign1(const Golden& golden) {
  const json& expected = golden.expected().at("embedding");
  std::vector<at::Tensor> got;
  for (size_t text = 0; text < expected.size(); ++text) {
    const at::Tensor last_D = RowsOf(golden, {.tokens = RealTokens, .pooling = Pooling::kLast}, text)[0];
    got.push_back(last_D / at::linalg_vector_norm(last_D));
  }
  ExpectVectors(got, expected, golden.tolerance(), "vector");
}

void CheckDesign2(const Golden& golden) { CheckDesign(golden, {false, RealTokens, Pooling::kLast}); }
void CheckDesign3(const Golden& golden) { CheckDesign(golden, {true, RealTokens, Pooling::kLast}); }
void CheckDesign4(const Golden& golden) { CheckDesign(golden, {false, nullptr, std::nullopt}); }
void CheckDesign5(const Golden& golden) { CheckDesign(golden, {true, TokensOfOtherIds, Pooling::kMean}); }

void CheckTokenPooling(const Golden& golden) {
  const at::Tensor hidden_BTD = TensorOf(golden.input().at("hidden"), DtypeOf(golden));
  std::map<std::string, std::vector<at::Tensor>> got;
  for (int64_t text = 0; text < hidden_BTD.size(0); ++text) {
    const at::Tensor real_TD = Rows(hidden_BTD[text], RealTokens(golden, static_cast<size_t>(text)));
    got["mean"].push_back(Pool(real_TD, 0, Pooling::kMean));
    got["mean_including_padding"].push_back(Pool(hidden_BTD[text], 0, Pooling::kMean));
    got["last_hidden_state"].push_back(Pool(real_TD, 0, Pooling::kLast));
  }
  for (const auto& [name, expected] : golden.expected().items()) {
    ExpectVectors(got.at(name), expected, golden.tolerance(), name);
  }
}

// The names and shapes that a file of a head must have, for the published sizes.
void CheckShapes(const Golden& golden) {
  for (const auto& [name, expected] : golden.expected().items()) {
    const json& shapes = expected.at("shapes");
    const bool has_table = shapes.contains("pos_emb.weight");
    const PoolingHeadSizes sizes = {.hidden = shapes.at("latents").at(1).get<int64_t>(),
                                    .latents = 768,
                                    .inner = int64_t{32} * 2048,
                                    .mlp = 4 * shapes.at("latents").at(1).get<int64_t>(),
                                    .table_rows = has_table ? 32 : 0};
    EXPECT_EQ(json(PoolingHeadShapes(sizes)), shapes) << name;
  }
}

void SkipLoss(const Golden& golden) {
  std::cout << "[  SKIPPED ] " << golden.name << ": a training loss, and nothing here trains\n";
}

}  // namespace

const std::map<std::string, Handler>& PoolingHandlers() {
  static const std::map<std::string, Handler> handlers = {
      {"design_eos_last_causal", CheckDesign1},
      {"design_last_layer_trainable_bidirectional", CheckDesign4},
      {"design_last_layer_trainable_causal", CheckDesign2},
      {"design_multi_layer_trainable_bidirectional", CheckDesign5},
      {"design_multi_layer_trainable_causal", CheckDesign3},
      {"hard_negative_nll_loss", SkipLoss},
      {"last_layer_trainable_pooling", CheckModule},
      {"layer_embedding_pooling", CheckTokenPooling},
      {"multi_layer_trainable_pooling", CheckModule},
      {"state_dict_shapes", CheckShapes},
  };
  return handlers;
}

}  // namespace midlayer::reference
