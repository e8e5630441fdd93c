// The silhouette against scikit-learn, its streaming form against the exact one, and what it refuses.
#include "server/scoring/silhouette.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scoring/labelled_fixtures.h"

namespace midlayer {
namespace {

using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr double kTolerance = 1e-9;

const std::pair<const char*, Distance> kDistances[] = {
    {"euclidean", Distance::kEuclidean}, {"cosine", Distance::kCosine}, {"manhattan", Distance::kManhattan}};

MATCHER_P(NearBy, tolerance, "") { return std::fabs(std::get<0>(arg) - std::get<1>(arg)) <= tolerance; }

// Vectors (N, D) that gather around their classes, 0…classes-1, which come in turn.
at::Tensor Gathered(int64_t count, int64_t dimensions, int64_t classes, std::vector<int64_t>* labels) {
  const at::Tensor centres = at::randn({classes, dimensions}, at::kDouble);
  labels->clear();
  for (int64_t i = 0; i < count; ++i) labels->push_back(i % classes);
  return at::randn({count, dimensions}, at::kDouble) + centres.index_select(0, at::tensor(*labels));
}

std::vector<double> Samples(const at::Tensor& x, const std::vector<int64_t>& labels, Distance distance) {
  const auto scores = Silhouette(x, labels, distance);
  return scores.ok() ? scores->samples : std::vector<double>();
}

TEST(SilhouetteTest, IsThatOfScikitLearn) {
  for (const auto& fixture : LabelledFixtures("silhouette")) {
    for (const auto& [name, distance] : kDistances) {
      SCOPED_TRACE(fixture["name"].get<std::string>() + ", " + name);
      const auto expected = fixture["samples"][name].get<std::vector<double>>();
      const auto scores = Silhouette(MatrixOf(fixture["x"]), Labels(fixture["labels"]), distance);
      ASSERT_TRUE(scores.ok()) << scores.status();
      EXPECT_THAT(scores->samples, Pointwise(NearBy(kTolerance), expected));
      double sum = 0;
      for (const double sample : expected) sum += sample;
      EXPECT_NEAR(scores->mean, sum / static_cast<double>(expected.size()), kTolerance);
    }
  }
}

// More examples than one block holds: 2^22 / N rows.
TEST(SilhouetteTest, BlocksOfRowsChangeNothing) {
  at::manual_seed(1);
  std::vector<int64_t> labels;
  const at::Tensor x = Gathered(2500, 3, 4, &labels);
  const std::vector<double> all = Samples(x, labels, Distance::kManhattan);
  ASSERT_EQ(all.size(), 2500u);
  for (const size_t i : {0u, 1676u, 1677u, 1678u, 2499u}) {
    double sums[4] = {};
    for (size_t j = 0; j < labels.size(); ++j) {
      sums[labels[j]] += (x[static_cast<int64_t>(i)] - x[static_cast<int64_t>(j)]).abs().sum().item<double>();
    }
    double a = sums[labels[i]] / 624, b = INFINITY;
    for (int64_t c = 0; c < 4; ++c) b = c == labels[i] ? b : std::fmin(b, sums[c] / 625);
    EXPECT_NEAR(all[i], (b - a) / std::fmax(a, b), kTolerance) << i;
  }
}

TEST(SilhouetteTest, RotationsAndScalesChangeNothing) {
  at::manual_seed(2);
  std::vector<int64_t> labels;
  const at::Tensor x = Gathered(40, 6, 3, &labels);
  const at::Tensor rotation = std::get<0>(at::linalg_qr(at::randn({6, 6}, at::kDouble)));
  const at::Tensor shift = at::randn({6}, at::kDouble) * 100;
  const auto near = Pointwise(NearBy(kTolerance), Samples(x, labels, Distance::kEuclidean));
  EXPECT_THAT(Samples(x.matmul(rotation) * 1e-300, labels, Distance::kEuclidean), near);
  EXPECT_THAT(Samples(x + shift, labels, Distance::kEuclidean), near);
  const auto near_cosine = Pointwise(NearBy(kTolerance), Samples(x, labels, Distance::kCosine));
  EXPECT_THAT(Samples(x.matmul(rotation) * 1e200, labels, Distance::kCosine), near_cosine);
  EXPECT_THAT(Samples(x * 1e300 + shift, labels, Distance::kManhattan),
              Pointwise(NearBy(kTolerance), Samples(x, labels, Distance::kManhattan)));
}

TEST(SilhouetteTest, VectorsThatAreAllEqualScoreZero) {
  const at::Tensor x = (at::zeros({6, 7}, at::kDouble) + at::randn({7}, at::kDouble)).contiguous();
  for (const auto& [name, distance] : kDistances) {
    EXPECT_EQ(Samples(x, {0, 0, 1, 1, 2, 2}, distance), std::vector<double>(6)) << name;
    EXPECT_EQ(Samples(at::zeros({3, 2}), {0, 0, 1}, distance).size(), 3u) << name;
  }
}

TEST(SilhouetteTest, TakesFloat32) {
  at::manual_seed(3);
  std::vector<int64_t> labels;
  const at::Tensor x = Gathered(20, 5, 2, &labels).to(at::kFloat);
  for (const auto& [name, distance] : kDistances) {
    EXPECT_EQ(Samples(x, labels, distance), Samples(x.to(at::kDouble), labels, distance)) << name;
  }
}

TEST(SilhouetteTest, Refuses) {
  const at::Tensor x = at::randn({3, 2});
  const struct {
    at::Tensor x;
    std::vector<int64_t> labels;
    const char* message;
  } cases[] = {
      {x, {0, 0, 0}, "labels: expected 2 to 2 classes among 3 examples, found 1"},
      {x, {0, 1, 2}, "labels: expected 2 to 2 classes among 3 examples, found 3"},
      {x, {0, 1}, "labels: expected one for each of 3 vectors, found 2"},
      {WithNan(), {0, 0, 1}, "vectors: expected finite values"},
      {x[0], {0, 1}, "vectors: expected a matrix that is not empty, found shape (2)"},
      {at::zeros({0, 2}), {}, "found shape (0, 2)"},
      {x.to(at::kHalf), {0, 0, 1}, "vectors: expected float32 or float64, found Half"},
      {at::Tensor(), {0, 0, 1}, "vectors: expected a matrix, found none"},
  };
  for (const auto& test : cases) {
    const absl::Status status = Silhouette(test.x, test.labels, Distance::kCosine).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

TEST(CosineSilhouetteTest, EqualsTheExactOneInPartsOfAnySize) {
  at::manual_seed(4);
  std::vector<int64_t> labels;
  at::Tensor x = Gathered(31, 6, 4, &labels);
  x[5].zero_();
  x[9].copy_(x[1]);
  labels[3] = 5;  // alone in its class; class 4 has no members
  CosineSilhouette streaming(6, 6);
  std::vector<double> samples;
  const auto part = [&labels](int64_t first, int64_t count) {
    return absl::MakeConstSpan(labels).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  };
  for (int64_t first = 0; first < 31; first += 7) {
    const int64_t count = std::min<int64_t>(7, 31 - first);
    ASSERT_TRUE(streaming.Add(x.narrow(0, first, count), part(first, count)).ok());
  }
  for (int64_t first = 0; first < 31; first += 10) {
    const int64_t count = std::min<int64_t>(10, 31 - first);
    const auto some = streaming.Samples(x.narrow(0, first, count), part(first, count));
    ASSERT_TRUE(some.ok()) << some.status();
    samples.insert(samples.end(), some->begin(), some->end());
  }
  EXPECT_THAT(samples, Pointwise(NearBy(1e-12), Samples(x, labels, Distance::kCosine)));
}

TEST(CosineSilhouetteTest, VectorsThatAreAllEqualScoreZero) {
  const at::Tensor x = (at::zeros({6, 7}, at::kDouble) + at::randn({7}, at::kDouble)).contiguous();
  CosineSilhouette streaming(2, 7);
  const std::vector<int64_t> labels = {0, 0, 0, 1, 1, 1};
  ASSERT_TRUE(streaming.Add(x, labels).ok());
  EXPECT_EQ(streaming.Samples(x, labels).value(), std::vector<double>(6));
}

TEST(CosineSilhouetteTest, Refuses) {
  CosineSilhouette streaming(2, 3);
  const at::Tensor x = at::randn({2, 3});
  EXPECT_EQ(streaming.Samples(x, {0, 1}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(streaming.Add(x, {0, 2}).message()), HasSubstr("labels[1]: expected 0 to 1, found 2"));
  EXPECT_THAT(std::string(streaming.Add(at::randn({1, 2}), {0}).message()),
              HasSubstr("expected 3 dimensions, found 2"));
  EXPECT_EQ(streaming.Add(x / 0, {0, 1}).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(streaming.Add(x, {0, 0}).ok());
  EXPECT_EQ(streaming.Samples(x, {0, 0}).status().code(), absl::StatusCode::kFailedPrecondition) << "one class";
  ASSERT_TRUE(streaming.Add(x, {1, 1}).ok());
  EXPECT_TRUE(streaming.Samples(x, {0, 0}).ok());
}

}  // namespace
}  // namespace midlayer
