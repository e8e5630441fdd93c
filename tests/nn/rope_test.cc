// Rotary position embedding: the definition as a loop over complex numbers, and frequencies that transformers computes.
#include "server/nn/rope.h"

#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

namespace midlayer {
namespace {

using testing::DoubleNear;
using testing::Pointwise;

// Rows of 3, 1 and 5 tokens: each counts from 0. What is not turned stays.
TEST(RopeTest, TurnsPairsByPositionTimesFrequency) {
  const std::vector<int64_t> offsets = {0, 3, 4, 9};
  for (const bool interleaved : {false, true}) {
    for (const int dims : {4, 8}) {
      const RopeSpec spec = {.dims = dims, .theta = 100, .interleaved = interleaved, .attention_factor = 1.5};
      const at::Tensor x = at::randn({9, 2, 8});
      const at::Tensor got = ApplyRope(MakeRopeTable(spec, offsets, at::kCPU), interleaved, x);
      for (int64_t token = 0; token < 9; ++token) {
        const int64_t position = token < 3 ? token : token < 4 ? 0 : token - 4;
        for (int64_t head = 0; head < 2; ++head) {
          for (int pair = 0; pair < dims / 2; ++pair) {
            const int64_t i = interleaved ? 2 * pair : pair, j = interleaved ? 2 * pair + 1 : pair + dims / 2;
            const std::complex<double> number(x[token][head][i].item<double>(), x[token][head][j].item<double>());
            const std::complex<double> turned =
                number * std::polar(1.5, static_cast<double>(position) * std::pow(100.0, -2.0 * pair / dims));
            EXPECT_NEAR(got[token][head][i].item<double>(), turned.real(), 1e-5);
            EXPECT_NEAR(got[token][head][j].item<double>(), turned.imag(), 1e-5);
          }
          for (int64_t i = dims; i < 8; ++i)
            EXPECT_EQ(got[token][head][i].item<float>(), x[token][head][i].item<float>());
        }
      }
    }
  }
}

// A table of more tokens than are left: of a batch whose last rows left early.
TEST(RopeTest, TakesTheFirstTokensOfTheTable) {
  const RopeTable table = MakeRopeTable({.dims = 4}, {0, 4, 9}, at::kCPU);
  const at::Tensor x = at::randn({9, 1, 4});
  EXPECT_TRUE(ApplyRope(table, false, x.narrow(0, 0, 4)).equal(ApplyRope(table, false, x).narrow(0, 0, 4)));
}

// ROPE_INIT_FUNCTIONS of transformers 5.23 with theta 10000, head size 16, max_position_embeddings 32 and
// original_max_position_embeddings 16; dynamic for texts of 20 and 50 tokens.
TEST(RopeFrequenciesTest, EqualTransformers) {
  const struct {
    const char* name;
    RopeSpec spec;
    int64_t tokens;
    std::vector<double> frequencies;
  } cases[] = {
      {"linear",
       {.dims = 16, .scaling = RopeScaling::kLinear, .factor = 4, .original_positions = 32},
       20,
       {0.25, 0.079056941, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05}},
      {"dynamic 20",
       {.dims = 16, .scaling = RopeScaling::kDynamic, .factor = 4, .original_positions = 32},
       20,
       {1, 0.316227764, 0.100000001, 0.0316227786, 0.00999999978, 0.00316227786, 0.00100000005, 0.000316227786}},
      {"dynamic 50",
       {.dims = 16, .scaling = RopeScaling::kDynamic, .factor = 4, .original_positions = 32},
       50,
       {1, 0.267223001, 0.0714081228, 0.0190818924, 0.00509912008, 0.00136260199, 0.000364118576, 9.730085e-05}},
      {"llama3",
       {.dims = 16,
        .scaling = RopeScaling::kLlama3,
        .factor = 8,
        .original_positions = 16,
        .low_frequency_factor = 1,
        .high_frequency_factor = 4},
       20,
       {0.576056361, 0.0395284705, 0.0125000002, 0.00395284733, 0.00124999997, 0.000395284733, 0.000125000006,
        3.95284733e-05}},
      {"yarn",
       {.dims = 16,
        .scaling = RopeScaling::kYarn,
        .factor = 4,
        .original_positions = 16,
        .beta_fast = 2,
        .beta_slow = 0.5},
       20,
       {1, 0.197642356, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05}},
      {"yarn untruncated",
       {.dims = 16,
        .scaling = RopeScaling::kYarn,
        .factor = 4,
        .original_positions = 16,
        .beta_fast = 2,
        .beta_slow = 0.5,
        .truncate = false},
       20,
       {1, 0.160589159, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05}},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(RopeFrequencies(test.spec, test.tokens), Pointwise(DoubleNear(1e-7), test.frequencies)) << test.name;
  }
}

}  // namespace
}  // namespace midlayer
