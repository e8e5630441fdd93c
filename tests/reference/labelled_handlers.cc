// Silhouette and linear probe.
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <vector>

#include "server/scoring/linear_probe.h"
#include "server/scoring/silhouette.h"
#include "tests/reference/golden.h"

namespace midlayer::reference {
namespace {

at::Tensor Matrix(const nlohmann::json& rows) {
  std::vector<double> values;
  for (const auto& row : rows) {
    for (const auto& value : row) values.push_back(Number(value));
  }
  return at::tensor(values, at::kDouble).view({static_cast<int64_t>(rows.size()), -1});
}

std::vector<int64_t> Labels(const nlohmann::json& labels) { return labels.get<std::vector<int64_t>>(); }

void ExpectAllClose(const at::Tensor& got, const nlohmann::json& expected, double tolerance, const std::string& what) {
  const at::Tensor want = Matrix(expected);
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    for (size_t j = 0; j < expected[i].size(); ++j) {
      const double value = got[static_cast<int64_t>(i)][static_cast<int64_t>(j)].item<double>();
      ExpectClose(value, expected[i][j], tolerance, what);
    }
  }
}

void ExpectSilhouette(const Golden& golden) {
  const std::map<std::string, Distance> distances = {
      {"euclidean", Distance::kEuclidean}, {"cosine", Distance::kCosine}, {"manhattan", Distance::kManhattan}};
  for (const std::string name : golden.params().at("metrics")) {
    const nlohmann::json& expected = golden.expected().at(name);
    const auto scores =
        Silhouette(Matrix(golden.input().at("X")), Labels(golden.input().at("labels")), distances.at(name));
    ASSERT_TRUE(scores.ok()) << scores.status();
    ExpectClose(scores->mean, expected.at("score"), golden.tolerance(), name);
    ASSERT_EQ(scores->samples.size(), expected.at("samples").size());
    for (size_t i = 0; i < scores->samples.size(); ++i) {
      ExpectClose(scores->samples[i], expected.at("samples")[i], golden.tolerance(), name);
    }
  }
}

void ExpectSilhouetteErrors(const Golden& golden) {
  for (const auto& [name, error] : golden.expected().items()) {
    const auto scores =
        Silhouette(Matrix(golden.input().at("X")), Labels(golden.input().at("labels_" + name)), Distance::kEuclidean);
    EXPECT_EQ(scores.status().code(), absl::StatusCode::kInvalidArgument) << name << ": " << error;
  }
}

double AccuracyOf(const std::vector<int64_t>& predictions, const std::vector<int64_t>& labels) {
  double correct = 0;
  for (size_t i = 0; i < labels.size(); ++i) correct += predictions.at(i) == labels[i] ? 1 : 0;
  return correct / static_cast<double>(labels.size());
}

void ExpectLinearProbe(const Golden& golden) {
  const at::Tensor train = Matrix(golden.input().at("X_train")), test = Matrix(golden.input().at("X_test"));
  const std::vector<int64_t> train_labels = Labels(golden.input().at("y_train"));
  const auto probe =
      FitLinearProbe(train, train_labels,
                     {.c = golden.params().at("C"), .standardize = golden.params().at("standardize").get<bool>()});
  ASSERT_TRUE(probe.ok()) << probe.status();
  const nlohmann::json& expected = golden.expected();
  EXPECT_EQ(probe->labels, Labels(expected.at("classes")));
  const std::vector<int64_t> predictions = Predict(*probe, test).value();
  EXPECT_EQ(predictions, Labels(expected.at("predictions")));
  EXPECT_EQ(AccuracyOf(predictions, Labels(golden.input().at("y_test"))), Number(expected.at("accuracy")));
  EXPECT_EQ(AccuracyOf(Predict(*probe, train).value(), train_labels), Number(expected.at("train_accuracy")));
  ExpectAllClose(Probabilities(*probe, test).value(), expected.at("probabilities"), golden.tolerance(),
                 "probabilities");
  ExpectAllClose(probe->weights_RD, expected.at("coef"), golden.tolerance(), "coef");
  ExpectClose(probe->objective, expected.at("objective"), golden.tolerance(), "objective");
}

}  // namespace

const std::map<std::string, Handler>& LabelledHandlers() {
  static const std::map<std::string, Handler> handlers = {{"linear_probe_logistic_regression", ExpectLinearProbe},
                                                          {"silhouette", ExpectSilhouette},
                                                          {"silhouette_errors", ExpectSilhouetteErrors}};
  return handlers;
}

}  // namespace midlayer::reference
