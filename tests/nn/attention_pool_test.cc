// Trained pooling against plain numpy (tests/golden/pooling/generate.py), which folds nothing and pools text by text.
#include "server/nn/attention_pool.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "tests/nn/pooling_fixtures.h"

namespace midlayer {
namespace {

using nlohmann::json;

// One pooled text is of length 1, so these are relative too.
double Tolerance(at::ScalarType dtype) { return dtype == at::kDouble ? 1e-12 : 2e-5; }

struct Case {
  std::string name;
  at::ScalarType dtype;
  json fixture;
  at::Tensor x_BSD;
  at::Tensor expected_BD;

  AttentionPoolWeights weights() const { return WeightsOf(fixture.at("weights"), dtype); }
  AttentionPool::Options options() const { return {.heads = fixture.at("heads").get<int64_t>()}; }
};

void ForEachCase(const std::function<void(const Case&)>& check) {
  const json cases = PoolingFixtures().at("cases");
  ASSERT_EQ(cases.size(), 6u);
  for (const json& fixture : cases) {
    for (at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const Case test{.name = fixture.at("name").get<std::string>() + (dtype == at::kFloat ? ", float32" : ", float64"),
                      .dtype = dtype,
                      .fixture = fixture,
                      .x_BSD = TensorOf(fixture.at("x"), dtype),
                      .expected_BD = TensorOf(fixture.at("expected"), at::kDouble)};
      SCOPED_TRACE(test.name);
      check(test);
    }
  }
}

TEST(AttentionPoolTest, PoolsOneText) {
  ForEachCase([](const Case& test) {
    const AttentionPool pool(test.weights(), test.options());
    for (int64_t text = 0; text < test.x_BSD.size(0); ++text) {
      const at::Tensor got_D = pool.Pool(test.x_BSD[text]);
      EXPECT_EQ(got_D.scalar_type(), test.dtype);
      EXPECT_LT(LargestDifference(got_D, test.expected_BD[text]), Tolerance(test.dtype)) << "text " << text;
    }
  });
}

TEST(AttentionPoolTest, PoolsABatch) {
  ForEachCase([](const Case& test) {
    const AttentionPool pool(test.weights(), test.options());
    const at::Tensor got_BD = pool.PoolBatch(test.x_BSD);
    ASSERT_EQ(got_BD.sizes(), test.expected_BD.sizes());
    EXPECT_LT(LargestDifference(got_BD, test.expected_BD), Tolerance(test.dtype));
  });
}

// Texts go in groups and latents in tiles; the last ones are smaller.
TEST(AttentionPoolTest, TilesChangeNothing) {
  ForEachCase([](const Case& test) {
    const int64_t latents = test.weights().latents.size(0), width = test.weights().mlp_out.size(1);
    const int64_t of_a_text = std::max(latents, test.x_BSD.size(1)) * test.x_BSD.size(2);
    for (int64_t elements : {int64_t{1}, 2 * of_a_text, 2 * 2 * width, 4 * 2 * width}) {
      AttentionPool::Options options = test.options();
      options.tile_elements = elements;
      const at::Tensor got_BD = AttentionPool(test.weights(), options).PoolBatch(test.x_BSD);
      EXPECT_LT(LargestDifference(got_BD, test.expected_BD), Tolerance(test.dtype)) << elements << " at once";
    }
  });
}

// The vector is a mean over latents: their order cannot show.
TEST(AttentionPoolTest, LatentsHaveNoOrder) {
  ForEachCase([](const Case& test) {
    AttentionPoolWeights weights = test.weights();
    weights.latents = weights.latents.flip(0);
    const at::Tensor got_BD = AttentionPool(weights, test.options()).PoolBatch(test.x_BSD);
    EXPECT_LT(LargestDifference(got_BD, test.expected_BD), Tolerance(test.dtype));
  });
}

// Without a layer table, neither have the rows; with one, they have.
TEST(AttentionPoolTest, OnlyTheTableOrdersRows) {
  ForEachCase([](const Case& test) {
    const AttentionPoolWeights weights = test.weights();
    const at::Tensor got_BD = AttentionPool(weights, test.options()).PoolBatch(test.x_BSD.flip(1));
    const double difference = LargestDifference(got_BD, test.expected_BD);
    if (weights.layer_table.defined()) {
      EXPECT_GT(difference, 1e-3);
    } else {
      EXPECT_LT(difference, Tolerance(test.dtype));
    }
  });
}

// Rows of the table beyond a text's are not looked at.
TEST(AttentionPoolTest, FewerRowsThanTheTable) {
  ForEachCase([](const Case& test) {
    AttentionPoolWeights weights = test.weights();
    if (!weights.layer_table.defined()) return;
    weights.layer_table = weights.layer_table.narrow(0, 0, test.x_BSD.size(1));
    const at::Tensor got_BD = AttentionPool(weights, test.options()).PoolBatch(test.x_BSD);
    EXPECT_LT(LargestDifference(got_BD, test.expected_BD), Tolerance(test.dtype));
  });
}

TEST(AttentionPoolTest, MoreRowsThanTheTableThrow) {
  ForEachCase([](const Case& test) {
    const AttentionPoolWeights weights = test.weights();
    if (!weights.layer_table.defined()) return;
    const AttentionPool pool(weights, test.options());
    const int64_t rows = weights.layer_table.size(0) + 1, hidden = weights.layer_table.size(1);
    EXPECT_ANY_THROW(pool.Pool(at::ones({rows, hidden}, test.dtype)));
  });
}

// Where all latents cancel out, the vector is zero and not a number divided by nothing.
TEST(AttentionPoolTest, NothingStaysNothing) {
  AttentionPoolWeights weights = WeightsOf(PoolingFixtures().at("cases").at(0).at("weights"), at::kDouble);
  for (at::Tensor* zero : {&weights.latents, &weights.to_out, &weights.mlp_out, &weights.mlp_out_bias}) zero->zero_();
  const at::Tensor got_D = AttentionPool(weights, {.heads = 2}).Pool(at::ones({1, 6}, at::kDouble));
  EXPECT_EQ(LargestDifference(got_D, at::zeros_like(got_D)), 0);
}

}  // namespace
}  // namespace midlayer
