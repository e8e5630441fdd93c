// The metrics of several views of every text against the files of their names.
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/stack.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/scoring/center.h"
#include "server/scoring/dime.h"
#include "server/scoring/infonce.h"
#include "server/scoring/lidar.h"
#include "tests/reference/scoring_golden.h"

namespace midlayer::reference {
namespace {

using nlohmann::json;

// View `view` of every text at `layer`: (N, D).
at::Tensor ViewOf(const Golden& golden, size_t layer, size_t view) {
  json rows = json::array();
  for (const json& text : golden.input().at("states_L_N_A_D").at(layer)) rows.push_back(text.at(view));
  return Matrix(rows, IsFloat32(golden));
}

void CheckInfoNceForm(const Golden& golden, const json& by_temperature, InfoNceForm form, bool cosine) {
  for (const auto& [temperature, expected] : by_temperature.items()) {
    const json& losses = expected.contains("raw") ? expected.at("raw") : expected;
    for (size_t layer = 0; layer < losses.size(); ++layer) {
      if (!losses[layer].is_number()) continue;  // the original overflows; the stable values are checked beside
      const at::Tensor a = ViewOf(golden, layer, 0), b = ViewOf(golden, layer, 1);
      const InfoNce got =
          MeasureInfoNce(a, b, {.form = form, .cosine = cosine, .temperature = std::stod(temperature)}).value();
      ExpectClose(got.loss, losses[layer], golden.tolerance(), Of("temperature " + temperature, layer));
      if (!expected.contains("mi-lower-bound")) continue;
      ExpectClose(Normalize(got.mutual_information, EntropyNormalization::kLogN, a.size(0), a.size(1)).value(),
                  expected.at("mi-lower-bound")[layer], golden.tolerance(), Of("bound " + temperature, layer));
    }
  }
}

void CheckNtXent(const Golden& golden) {
  CheckInfoNceForm(golden, golden.expected().at("by_temperature"), InfoNceForm::kNtXent, false);
  CheckInfoNceForm(golden, golden.expected().at("by_temperature_logsumexp"), InfoNceForm::kNtXent, false);
}

void CheckOneDirection(const Golden& golden) {
  CheckInfoNceForm(golden, golden.expected().at("by_temperature"), InfoNceForm::kOneDirection, false);
}

void CheckCosine(const Golden& golden) {
  CheckInfoNceForm(golden, golden.expected().at("ntxent"), InfoNceForm::kNtXent, true);
  CheckInfoNceForm(golden, golden.expected().at("cross_entropy"), InfoNceForm::kOneDirection, true);
}

void CheckDime(const Golden& golden) {
  const auto all = PermutationsOf(golden.input().at("permutations"));
  const size_t layers = golden.input().at("states_L_N_A_D").size(), each = all.size() / layers;
  std::vector<absl::StatusOr<double>> raw;
  at::Tensor a;
  for (size_t layer = 0; layer < layers; ++layer) {
    a = ViewOf(golden, layer, 0);
    raw.push_back(MeasureDime(a, ViewOf(golden, layer, 1), Permutations(all).subspan(layer * each, each),
                              {golden.params().at("alpha").get<double>(), Mode::kReference2024})
                      .value()
                      .value);
  }
  ExpectNormalized(raw, golden.expected().at("by_normalization"), a.size(0), a.size(1), golden.tolerance(), "DiME");
}

void CheckDimeDefinition(const Golden& golden) {
  const json& permutations = golden.input().at("permutations_per_layer");
  for (size_t layer = 0; layer < permutations.size(); ++layer) {
    const Dime dime =
        MeasureDime(ViewOf(golden, layer, 0), ViewOf(golden, layer, 1), PermutationsOf(permutations[layer]),
                    {golden.params().at("alpha").get<double>(), Mode::kDefinition})
            .value();
    ExpectClose(dime.value, golden.expected().at("raw").at(layer), golden.tolerance(), Of("DiME", layer));
  }
}

void CheckLidar(const Golden& golden) {
  const json& layers = golden.input().at("states_L_N_A_D");
  const double tight = golden.file.at("tolerance_float64").get<double>();
  std::map<std::string, std::vector<absl::StatusOr<double>>> by_alpha;
  at::Tensor views;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    LidarAccumulator lidar(golden.params().at("delta").get<double>());
    for (const json& text : layers[layer]) {
      views = Matrix(text, IsFloat32(golden));
      ASSERT_TRUE(lidar.Add(views).ok());
    }
    for (const char* alpha : {"1", "2"})
      by_alpha[alpha].push_back(lidar.Entropy(std::stod(alpha), Mode::kReference2024));
    // Ours are without the zeros that M has beside them for N < D.
    const at::Tensor expected =
        at::linalg_eigvalsh(Matrix(golden.expected().at("lda_matrix_float64").at(layer), false));
    const std::vector<double> got = lidar.Eigenvalues().value();
    const int64_t zeros = expected.size(0) - static_cast<int64_t>(got.size());
    for (int64_t i = 0; i < static_cast<int64_t>(got.size()); ++i) {
      ExpectClose(got[static_cast<size_t>(i)], expected[zeros + i].item<double>(), tight, Of("eigenvalue", layer));
    }
  }
  const auto texts = static_cast<int64_t>(layers.at(0).size());
  for (const auto& [alpha, raw] : by_alpha) {
    const json& expected = golden.expected();
    ExpectNormalized(raw, expected.at("by_alpha").at(alpha), texts, views.size(1), golden.tolerance(), alpha);
    ExpectNormalized(raw, expected.at("by_alpha_float64_accumulators").at(alpha), texts, views.size(1), tight, alpha);
  }
}

// prompts[i][view][layer] is (T, D). Returns (N, A, D).
at::Tensor PooledViews(const json& prompts, size_t layer) {
  std::vector<at::Tensor> texts;
  for (const json& prompt : prompts) {
    std::vector<at::Tensor> views;
    for (const json& view : prompt) views.push_back(PooledCentered(Matrix(view.at(layer), false)).value());
    texts.push_back(at::stack(views));
  }
  return at::stack(texts);
}

void CheckViewPipeline(const Golden& golden) {
  const json& prompts = golden.input().at("prompts");
  const json& expected = golden.expected();
  const size_t layers = prompts.at(0).at(0).size();
  std::vector<absl::StatusOr<double>> lidar_values, dime_values;
  at::Tensor pooled_NAD;
  for (size_t layer = 0; layer < layers; ++layer) {
    pooled_NAD = PooledViews(prompts, layer);
    LidarAccumulator lidar(golden.params().at("delta").get<double>());
    for (int64_t text = 0; text < pooled_NAD.size(0); ++text) ASSERT_TRUE(lidar.Add(pooled_NAD[text]).ok());
    lidar_values.push_back(lidar.Entropy(golden.params().at("alpha").get<double>(), Mode::kReference2024));
    if (!expected.contains("dime")) continue;
    const at::Tensor a = pooled_NAD.select(1, 0), b = pooled_NAD.select(1, 1);
    for (const auto& [name, form] : {std::pair{"infonce_ntxent", InfoNceForm::kNtXent},
                                     std::pair{"infonce_cross_entropy", InfoNceForm::kOneDirection}}) {
      const InfoNceOptions options = {
          .form = form, .cosine = false, .temperature = golden.params().at("temperature").get<double>()};
      ExpectClose(MeasureInfoNce(a, b, options).value().loss, expected.at(name).at("raw").at(layer), golden.tolerance(),
                  Of(name, layer));
    }
    const auto all = PermutationsOf(golden.input().at("permutations"));
    const size_t each = all.size() / layers;
    dime_values.push_back(MeasureDime(a, b, Permutations(all).subspan(layer * each, each),
                                      {golden.params().at("alpha").get<double>(), Mode::kReference2024})
                              .value()
                              .value);
  }
  const int64_t n = pooled_NAD.size(0), d = pooled_NAD.size(2);
  ExpectNormalized(lidar_values, expected.at("lidar_float64"), n, d, golden.tolerance(), "LiDAR");
  if (expected.contains("dime")) {
    ExpectNormalized(dime_values, expected.at("dime"), n, d, golden.tolerance(), "DiME");
  }
}

}  // namespace

const std::map<std::string, Handler>& ViewHandlers() {
  static const std::map<std::string, Handler> handlers = {
      {"dime", CheckDime},
      {"dime_gram_always_nxn", CheckDimeDefinition},
      {"infonce_cosine", CheckCosine},
      {"infonce_cross_entropy", CheckOneDirection},
      {"infonce_ntxent", CheckNtXent},
      {"lidar", CheckLidar},
      {"pipeline_augmented", CheckViewPipeline},
  };
  return handlers;
}

}  // namespace midlayer::reference
