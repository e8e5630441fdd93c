// k nearest neighbours against scikit-learn, ties, and what it refuses.
#include "server/scoring/knn.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scoring/labelled_fixtures.h"

namespace midlayer {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

TEST(KnnTest, PredictionsAreThoseOfScikitLearnsNeighbours) {
  const nlohmann::json fixture = LabelledFixtures("knn");
  const std::vector<int64_t> labels = Labels(fixture["labels"]);
  for (const auto& [k, predictions] : fixture["predictions"].items()) {
    const KnnScores scores = KnnAccuracy(MatrixOf(fixture["x"]), labels, std::stoi(k)).value();
    EXPECT_EQ(scores.predictions, Labels(predictions)) << k;
    int correct = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      EXPECT_EQ(scores.correct[i], scores.predictions[i] == labels[i] ? 1 : 0) << k << ", " << i;
      correct += scores.predictions[i] == labels[i];
    }
    EXPECT_DOUBLE_EQ(scores.accuracy, correct / static_cast<double>(labels.size())) << k;
  }
}

// In degrees around the circle.
at::Tensor Directions(const std::vector<double>& degrees) {
  std::vector<std::vector<double>> rows;
  for (const double degree : degrees) rows.push_back({std::cos(degree * M_PI / 180), std::sin(degree * M_PI / 180)});
  return Matrix(rows);
}

TEST(KnnTest, OfEqualVotesTheNearestDecides) {
  const std::vector<int64_t> labels = {0, 1, 2, 2, 1};
  // From the first: 1, 2, 2, 1 at 10, 20, 30, 40 degrees.
  const at::Tensor x = Directions({0, 10, 20, 30, 40});
  EXPECT_EQ(KnnAccuracy(x, labels, 1).value().predictions[0], 1);
  EXPECT_EQ(KnnAccuracy(x, labels, 2).value().predictions[0], 1);
  EXPECT_EQ(KnnAccuracy(x, labels, 3).value().predictions[0], 2);
  EXPECT_EQ(KnnAccuracy(x, labels, 4).value().predictions[0], 1);
}

TEST(KnnTest, OfEqualVectorsTheEarlierIsNearer) {
  const at::Tensor x = at::zeros({4, 7}, at::kDouble) + at::randn({7}, at::kDouble);
  EXPECT_EQ(KnnAccuracy(x, {3, 4, 5, 6}, 1).value().predictions, (std::vector<int64_t>{4, 3, 3, 3}));
  EXPECT_EQ(KnnAccuracy(at::zeros({3, 2}), {3, 4, 5}, 1).value().predictions, (std::vector<int64_t>{4, 3, 3}));
}

// More examples than one block holds.
TEST(KnnTest, BlocksOfRowsChangeNothing) {
  at::manual_seed(8);
  const at::Tensor x = at::randn({2200, 8}, at::kDouble);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 2200; ++i) labels.push_back(i % 1100);
  x.narrow(0, 1100, 1100).copy_(x.narrow(0, 0, 1100));  // each has one twin, far away
  EXPECT_THAT(KnnAccuracy(x, labels, 1).value().correct, Each(1));
}

TEST(KnnTest, Refuses) {
  const at::Tensor x = at::randn({3, 2});
  const auto message = [](const auto& result) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  };
  for (const int k : {-1, 0, 3}) {
    EXPECT_THAT(message(KnnAccuracy(x, {0, 1, 0}, k)), HasSubstr("k: expected 1 to 2 among 3 examples"));
  }
  EXPECT_THAT(message(KnnAccuracy(x, {0}, 1)), HasSubstr("labels: expected one for each of 3 vectors, found 1"));
  EXPECT_THAT(message(KnnAccuracy(WithNan(), {0, 1, 0}, 1)), HasSubstr("vectors: expected finite values"));
}

}  // namespace
}  // namespace midlayer
