// Retrieval against scikit-learn, ties, self-retrieval, cosines of pairs, and what they refuse.
#include "server/scoring/retrieval.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/scoring/similarity.h"
#include "tests/scoring/labelled_fixtures.h"

namespace midlayer {
namespace {

using ::testing::DoubleEq;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Relevant = std::vector<std::vector<int64_t>>;

template <typename Result>
std::string Refusal(const Result& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

TEST(RetrievalTest, IsThatOfScikitLearn) {
  const nlohmann::json fixture = LabelledFixtures("retrieval");
  const auto scores =
      ScoreRetrieval(MatrixOf(fixture["queries"]), MatrixOf(fixture["passages"]), fixture["relevant"].get<Relevant>());
  ASSERT_TRUE(scores.ok()) << scores.status();
  const std::pair<const char*, const std::vector<double>*> curves[] = {{"ndcg_at_10", &scores->ndcg_at_10},
                                                                       {"recall_at_10", &scores->recall_at_10},
                                                                       {"reciprocal_rank", &scores->reciprocal_rank}};
  for (const auto& [name, got] : curves) {
    const auto expected = fixture[name].get<std::vector<double>>();
    ASSERT_EQ(got->size(), expected.size()) << name;
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR((*got)[i], expected[i], 1e-12) << name << " of query " << i;
  }
}

// Twelve equal passages: the order of the passages decides, and the eleventh is not among the first ten.
TEST(RetrievalTest, EqualPassagesKeepTheirOrder) {
  at::manual_seed(9);
  const at::Tensor passages = at::zeros({12, 33}) + at::randn({33});
  const RetrievalScores scores = ScoreRetrieval(at::randn({3, 33}), passages, Relevant{{0}, {3}, {10, 9}}).value();
  EXPECT_THAT(scores.reciprocal_rank, ElementsAre(1, 0.25, 0.1));
  EXPECT_THAT(scores.recall_at_10, ElementsAre(1, 1, 0.5));
  EXPECT_THAT(scores.ndcg_at_10,
              ElementsAre(1, DoubleEq(1 / std::log2(5)), DoubleEq(1 / std::log2(11) / (1 + 1 / std::log2(3)))));
}

TEST(RetrievalTest, AZeroVectorHasCosineZeroWithAll) {
  const at::Tensor passages = Matrix({{-1, 0}, {0, 0}, {1, 0}, {0, 1}});
  const RetrievalScores zero_query = ScoreRetrieval(at::zeros({1, 2}), passages, Relevant{{2}}).value();
  EXPECT_THAT(zero_query.reciprocal_rank, ElementsAre(DoubleEq(1.0 / 3)));
  const RetrievalScores zero_passage = ScoreRetrieval(Matrix({{1, 0}}), passages, Relevant{{1}}).value();
  EXPECT_THAT(zero_passage.reciprocal_rank, ElementsAre(0.5));
}

// More queries than one block holds.
TEST(RetrievalTest, BlocksOfRowsChangeNothing) {
  at::manual_seed(10);
  const at::Tensor x = at::randn({2200, 16});
  const SelfRetrievalScores scores = ScoreSelfRetrieval(x, 3 * x + 0.001 * at::randn({2200, 16})).value();
  EXPECT_EQ(scores.hit_at_1.size(), 2200u);
  EXPECT_THAT(scores.hit_at_1, Each(1));
  EXPECT_THAT(scores.reciprocal_rank, Each(1));
}

TEST(SelfRetrievalTest, AveragesBothWays) {
  // Forth: text 0 finds its other half first, text 1 second (behind that of text 0). Back: both first.
  const at::Tensor first = Matrix({{1, 0}, {0.8, 0.6}}), second = Matrix({{0.9, 0.1}, {0, 1}});
  const SelfRetrievalScores scores = ScoreSelfRetrieval(first, second).value();
  EXPECT_THAT(scores.reciprocal_rank, ElementsAre(1, 0.75));
  EXPECT_THAT(scores.hit_at_1, ElementsAre(1, 0.5));
}

TEST(SelfRetrievalTest, RotationsAndLengthsChangeNothing) {
  at::manual_seed(11);
  const at::Tensor first = at::randn({50, 8}, at::kDouble), second = first + at::randn({50, 8}, at::kDouble);
  const at::Tensor rotation = std::get<0>(at::linalg_qr(at::randn({8, 8}, at::kDouble)));
  const at::Tensor lengths = at::randn({50, 1}, at::kDouble).exp();
  const SelfRetrievalScores plain = ScoreSelfRetrieval(first, second).value();
  const SelfRetrievalScores turned =
      ScoreSelfRetrieval(first.matmul(rotation) * lengths, second.matmul(rotation)).value();
  EXPECT_EQ(plain.reciprocal_rank, turned.reciprocal_rank);
  EXPECT_EQ(plain.hit_at_1, turned.hit_at_1);
}

TEST(RetrievalTest, Refuses) {
  const at::Tensor queries = at::randn({2, 3}), passages = at::randn({4, 3});
  const struct {
    Relevant relevant;
    const char* message;
  } cases[] = {
      {{{0}}, "relevant: expected one list for each of 2 queries, found 1"},
      {{{0}, {}}, "relevant[1]: expected at least one passage, found none"},
      {{{0}, {1, 4}}, "relevant[1]: expected passages 0 to 3, found 4"},
      {{{-1}, {0}}, "relevant[0]: expected passages 0 to 3, found -1"},
      {{{2, 1, 2}, {0}}, "relevant[0]: expected each passage once, found 2 twice"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(Refusal(ScoreRetrieval(queries, passages, test.relevant)), HasSubstr(test.message));
  }
  const Relevant good = {{0}, {1}};
  EXPECT_THAT(Refusal(ScoreRetrieval(queries, at::randn({4, 2}), good)), HasSubstr("passages: expected 3 dimensions"));
  EXPECT_THAT(Refusal(ScoreRetrieval(queries / 0, passages, good)), HasSubstr("queries: expected finite values"));
  EXPECT_THAT(Refusal(ScoreRetrieval(queries, WithNan(), good)), HasSubstr("passages: expected finite values"));
  EXPECT_THAT(Refusal(ScoreSelfRetrieval(queries, passages)),
              HasSubstr("second: expected shape (2, 3) as the first has, found (4, 3)"));
}

TEST(PairCosinesTest, IsTheCosineOfEachPair) {
  at::manual_seed(12);
  const at::Tensor first = at::randn({20, 7}, at::kDouble), second = at::randn({20, 7}, at::kDouble);
  const at::Tensor expected = at::cosine_similarity(first, second, 1);
  const std::vector<double> got = PairCosines(first * 1e-200, second * 1e180).value();
  ASSERT_EQ(got.size(), 20u);
  for (int64_t i = 0; i < 20; ++i) EXPECT_NEAR(got[static_cast<size_t>(i)], expected[i].item<double>(), 1e-14);
  EXPECT_THAT(PairCosines(Matrix({{3, 4}, {0, 0}, {1, 1}}), Matrix({{6, 8}, {1, 2}, {-2, -2}})).value(),
              ElementsAre(DoubleEq(1), 0, DoubleEq(-1)));
}

TEST(PairCosinesTest, Refuses) {
  EXPECT_THAT(Refusal(PairCosines(at::randn({2, 3}), at::randn({3, 3}))), HasSubstr("second: expected shape (2, 3)"));
  EXPECT_THAT(Refusal(PairCosines(WithNan(), at::randn({3, 2}))), HasSubstr("first: expected finite values"));
}

}  // namespace
}  // namespace midlayer
