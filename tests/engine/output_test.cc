#include "server/engine/output.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::Eq;
using testing::FloatEq;
using testing::Pointwise;
using Vectors = std::vector<std::vector<float>>;

OutputSpec Spec(Fusion fusion, std::vector<float> weights, bool normalize, int dimensions) {
  return {.fusion = fusion, .weights = std::move(weights), .normalize = normalize, .dimensions = dimensions};
}

TEST(FinishVectorTest, FusesCutsAndNormalises) {
  const struct {
    const char* what;
    OutputSpec spec;
    Vectors pooled;
    std::vector<float> expected;
  } cases[] = {
      {"one layer as it is", Spec(Fusion::kConcat, {}, false, 0), {{1, -2, 3}}, {1, -2, 3}},
      {"concat in the order named",
       Spec(Fusion::kConcat, {}, false, 0),
       {{1, 2}, {3, 4}, {-5, 6}},
       {1, 2, 3, 4, -5, 6}},
      {"mean", Spec(Fusion::kMean, {}, false, 0), {{1, 2}, {3, -4}}, {2, -1}},
      {"mean of four", Spec(Fusion::kMean, {}, false, 0), {{1}, {2}, {3}, {8}}, {3.5}},
      {"weighted sum, weights as they are", Spec(Fusion::kWeightedSum, {2, -1}, false, 0), {{1, 2}, {3, 4}}, {-1, 0}},
      {"cut", Spec(Fusion::kConcat, {}, false, 2), {{1, 2, 3}}, {1, 2}},
      {"cut after concat", Spec(Fusion::kConcat, {}, false, 3), {{1, 2}, {3, 4}}, {1, 2, 3}},
      {"cut to all", Spec(Fusion::kConcat, {}, false, 3), {{1, 2, 3}}, {1, 2, 3}},
      {"normalise", Spec(Fusion::kConcat, {}, true, 0), {{3, 4}}, {0.6f, 0.8f}},
      {"normalise the whole after concat",
       Spec(Fusion::kConcat, {}, true, 0),
       {{2, 0}, {-1, 2}},
       {2 / 3.f, 0, -1 / 3.f, 2 / 3.f}},
      {"cut, then normalise", Spec(Fusion::kConcat, {}, true, 2), {{3, 4, 12}}, {0.6f, 0.8f}},
      {"normalise after the mean", Spec(Fusion::kMean, {}, true, 0), {{6, 0}, {0, 8}}, {0.6f, 0.8f}},
      {"zero stays zero", Spec(Fusion::kConcat, {}, true, 0), {{0, 0, 0}}, {0, 0, 0}},
      {"zero by cutting", Spec(Fusion::kConcat, {}, true, 2), {{0, 0, 5}}, {0, 0}},
      {"zero by fusing", Spec(Fusion::kWeightedSum, {1, -1}, true, 0), {{1, 2}, {1, 2}}, {0, 0}},
      {"squares beyond float", Spec(Fusion::kConcat, {}, true, 0), {{3e30f, -4e30f}}, {0.6f, -0.8f}},
      {"squares below float", Spec(Fusion::kConcat, {}, true, 0), {{3e-30f, 4e-30f}}, {0.6f, 0.8f}},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.what);
    EXPECT_THAT(FinishVector(test.spec, test.pooled), Pointwise(FloatEq(), test.expected));
  }
}

TEST(FusedWidthTest, OnlyConcatGrows) {
  OutputSpec output{.layers = {1, 2, 3}};
  const std::pair<Fusion, int> cases[] = {{Fusion::kConcat, 96}, {Fusion::kMean, 32}, {Fusion::kWeightedSum, 32}};
  for (const auto& [fusion, width] : cases) {
    output.fusion = fusion;
    EXPECT_EQ(FusedWidth(output, 32), width);
  }
  output.layers = {5};
  EXPECT_EQ(FusedWidth(output, 32), 32);
}

TEST(SlotsTest, OneALayerOfEachOutputInOrder) {
  const std::vector<OutputSpec> outputs = {
      {.layers = {3, 1}, .pooling = Pooling::kMax, .state = State::kNormed},
      {.layers = {2}, .pooling = Pooling::kCls, .dense = true},
  };
  const std::vector<PoolSlot> slots = SlotsOf(outputs);
  const PoolSlot expected[] = {
      {3, State::kNormed, Pooling::kMax, false},
      {1, State::kNormed, Pooling::kMax, false},
      {2, State::kRaw, Pooling::kCls, true},
  };
  ASSERT_EQ(slots.size(), std::size(expected));
  for (size_t i = 0; i < slots.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(slots[i].layer, expected[i].layer);
    EXPECT_EQ(slots[i].state, expected[i].state);
    EXPECT_EQ(slots[i].pooling, expected[i].pooling);
    EXPECT_EQ(slots[i].dense, expected[i].dense);
  }
  EXPECT_EQ(DeepestLayer(slots), 3);
  EXPECT_EQ(DeepestLayer(std::vector<PoolSlot>{{.layer = 0}}), 0);
}

}  // namespace
}  // namespace midlayer
