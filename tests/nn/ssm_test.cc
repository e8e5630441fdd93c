// Mamba's mixer against transformers and against loops over tokens in double precision.
#include "server/nn/ssm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/weights/safetensors.h"

namespace midlayer {
namespace {

constexpr double kTolerance = 1e-5;  // float32 is good for 1e-6, and so is libtorch's GELU

// The largest difference, in parts of the largest expected value; NaN stays NaN and passes no comparison.
double Error(const at::Tensor& got, const at::Tensor& expected) {
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).abs().max() / expected.to(at::kDouble).abs().max())
      .item<double>();
}

at::Tensor Double(const at::Tensor& x) { return x.to(at::kDouble).contiguous(); }

at::Tensor Project(const Linear& linear, const at::Tensor& x) {
  const at::Tensor product = x.matmul(Double(linear.weight).t());
  return linear.bias.defined() ? product + Double(linear.bias) : product;
}

// The convolution of one row's tokens, from its definition.
at::Tensor NaiveConv(const at::Tensor& x_TI, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor input = Double(x_TI), kernel = Double(weight), offset = bias.defined() ? Double(bias) : bias;
  at::Tensor output = at::zeros(input.sizes(), at::kDouble);
  const auto x = input.accessor<double, 2>();
  const auto w = kernel.accessor<double, 3>();
  auto y = output.accessor<double, 2>();
  for (int64_t t = 0; t < x.size(0); ++t) {
    for (int64_t i = 0; i < x.size(1); ++i) {
      if (offset.defined()) y[t][i] = offset.const_data_ptr<double>()[i];
      for (int64_t k = 0; k < w.size(2); ++k) {
        const int64_t from = t - w.size(2) + 1 + k;
        if (from >= 0) y[t][i] += w[i][0][k] * x[from][i];
      }
    }
  }
  return output;
}

// The scan of one row's tokens, token by token.
at::Tensor NaiveScan(const at::Tensor& a_IS, const ScanInput& row) {
  const at::Tensor decays = Double(a_IS), inputs = Double(row.x_PI), steps = Double(row.delta_PI);
  const at::Tensor in = Double(row.b_PS), out = Double(row.c_PS);
  at::Tensor output = at::zeros(inputs.sizes(), at::kDouble);
  const auto a = decays.accessor<double, 2>(), x = inputs.accessor<double, 2>(), delta = steps.accessor<double, 2>(),
             b = in.accessor<double, 2>(), c = out.accessor<double, 2>();
  auto y = output.accessor<double, 2>();
  for (int64_t i = 0; i < a.size(0); ++i) {
    std::vector<double> h(static_cast<size_t>(a.size(1)));
    for (int64_t t = 0; t < x.size(0); ++t) {
      for (int64_t s = 0; s < a.size(1); ++s) {
        h[s] = std::exp(delta[t][i] * a[i][s]) * h[s] + delta[t][i] * b[t][s] * x[t][i];
        y[t][i] += c[t][s] * h[s];
      }
    }
  }
  return output;
}

// The mixer on one row, from what in_proj gave for it.
at::Tensor NaiveAfterInProj(const MambaMixer& mixer, const at::Tensor& both_TX) {
  const int64_t inner = mixer.a.size(0), rank = mixer.time_step_rank, states = mixer.state_size;
  const at::Tensor gate = both_TX.narrow(1, inner, inner);
  const at::Tensor x =
      Activate(mixer.activation, NaiveConv(both_TX.narrow(1, 0, inner), mixer.conv_weight, mixer.conv_bias));
  const at::Tensor selected = Project(mixer.x_proj, x);
  const at::Tensor delta = at::softplus(Project(mixer.dt_proj, selected.narrow(1, 0, rank)));
  const at::Tensor y = NaiveScan(mixer.a, {.x_PI = x,
                                           .delta_PI = delta,
                                           .b_PS = selected.narrow(1, rank, states),
                                           .c_PS = selected.narrow(1, rank + states, states)});
  return Project(mixer.out_proj, (y + Double(mixer.d) * x) * gate * at::sigmoid(gate));
}

at::Tensor NaiveMamba(const MambaMixer& mixer, const at::Tensor& x_TD) {
  return NaiveAfterInProj(mixer, Project(mixer.in_proj, Double(x_TD)));
}

struct Sizes {
  int64_t hidden = 16, inner = 32, states = 16, rank = 2, kernel = 4;
};

// Decays as checkpoints have them: a = -1…-S in every channel, time steps around 0.05.
MambaMixer RandomMixer(const Sizes& sizes, bool biases) {
  const auto linear = [biases](int64_t out, int64_t in) {
    return Linear{.weight = at::randn({out, in}) / std::sqrt(in), .bias = biases ? at::randn({out}) : at::Tensor()};
  };
  MambaMixer mixer{.in_proj = linear(2 * sizes.inner, sizes.hidden),
                   .conv_weight = at::randn({sizes.inner, 1, sizes.kernel}),
                   .conv_bias = biases ? at::randn({sizes.inner}) : at::Tensor(),
                   .x_proj = linear(sizes.rank + 2 * sizes.states, sizes.inner),
                   .dt_proj = {.weight = at::randn({sizes.inner, sizes.rank}), .bias = at::randn({sizes.inner}) - 3},
                   .a = -at::arange(1, sizes.states + 1, at::kFloat).repeat({sizes.inner, 1}),
                   .d = at::randn({sizes.inner}),
                   .out_proj = linear(sizes.hidden, sizes.inner),
                   .time_step_rank = sizes.rank,
                   .state_size = sizes.states};
  return mixer;
}

ScanInput RandomScanInput(int64_t tokens, int64_t channels, int64_t states) {
  return {.x_PI = at::randn({tokens, channels}),
          .delta_PI = at::softplus(at::randn({tokens, channels}) - 3),
          .b_PS = at::randn({tokens, states}),
          .c_PS = at::randn({tokens, states})};
}

at::Tensor Decays(int64_t channels, int64_t states) { return -at::exp(at::randn({channels, states})); }

std::vector<int64_t> Offsets(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets = {0};
  for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

at::Tensor RunAlone(const MambaMixer& mixer, const at::Tensor& x_TD) {
  return RunMamba(mixer, x_TD, GroupRows({0, x_TD.size(0)}));
}

// ---- transformers ----

class Fixture {
 public:
  Fixture()
      : file_(SafetensorsFile::Open(std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests/golden/ssm/ssm.safetensors")
                  .value()) {}
  // Undefined if it is not there.
  at::Tensor Get(const std::string& name) const {
    const auto found = file_->tensors().find(name);
    if (found == file_->tensors().end()) return {};
    at::Tensor tensor = at::zeros(found->second.shape, at::kFloat);
    std::memcpy(tensor.mutable_data_ptr<float>(), found->second.data.data(), found->second.data.size());
    return tensor;
  }
  MambaMixer Mixer(const std::string& name, Activation activation) const {
    const auto linear = [&](const char* part) {
      return Linear{.weight = Get(absl::StrCat(name, ".", part, ".weight")),
                    .bias = Get(absl::StrCat(name, ".", part, ".bias"))};
    };
    const Linear conv = linear("conv1d");
    const at::Tensor a = -at::exp(Get(name + ".A_log"));
    const Linear dt_proj = linear("dt_proj");
    return {.in_proj = linear("in_proj"),
            .conv_weight = conv.weight,
            .conv_bias = conv.bias,
            .x_proj = linear("x_proj"),
            .dt_proj = dt_proj,
            .a = a,
            .d = Get(name + ".D"),
            .out_proj = linear("out_proj"),
            .activation = activation,
            .time_step_rank = dt_proj.weight.size(1),
            .state_size = a.size(1)};
  }

 private:
  std::unique_ptr<SafetensorsFile> file_;
};

// Lengths around those at which a row is cut, with and without biases, as one batch.
TEST(MambaTest, IsThatOfTransformers) {
  const Fixture fixture;
  const std::vector<int64_t> lengths = {1, 2, 3, kScanChunk - 1, kScanChunk, kScanChunk + 1, 3 * kScanChunk + 5};
  const std::pair<const char*, Activation> cases[] = {
      {"plain", Activation::kSilu}, {"biases", Activation::kGelu}, {"bare", Activation::kSilu}};
  for (const auto& [name, activation] : cases) {
    const MambaMixer mixer = fixture.Mixer(name, activation);
    ASSERT_EQ(mixer.in_proj.bias.defined(), name == std::string("biases"));
    ASSERT_EQ(mixer.conv_bias.defined(), name != std::string("bare"));
    std::vector<at::Tensor> x, y;
    for (const int64_t length : lengths) {
      x.push_back(fixture.Get(absl::StrCat(name, ".x.", length)));
      y.push_back(fixture.Get(absl::StrCat(name, ".y.", length)));
      ASSERT_TRUE(x.back().defined() && x.back().size(0) == length) << name << " " << length;
      EXPECT_LT(Error(RunAlone(mixer, x.back()), y.back()), kTolerance) << name << ", " << length << " tokens";
    }
    EXPECT_LT(Error(RunMamba(mixer, at::cat(x), GroupRows(Offsets(lengths))), at::cat(y)), kTolerance) << name;
  }
}

// ---- loops in double precision ----

TEST(MambaTest, IsTheLoopOverTokens) {
  at::manual_seed(1);
  for (const bool biases : {false, true}) {
    const MambaMixer mixer = RandomMixer({}, biases);
    for (const int64_t length : {1, 2, 3, 5, 31, 32, 33, 63, 65, 101, 300}) {
      const at::Tensor x = at::randn({length, 16});
      EXPECT_LT(Error(RunAlone(mixer, x), NaiveMamba(mixer, x)), kTolerance) << length << " tokens, biases " << biases;
    }
  }
}

// A kernel longer than the text, and one of a single token.
TEST(CausalConvTest, IsTheSumOverTheTokensBefore) {
  at::manual_seed(2);
  for (const int64_t kernel : {1, 2, 4, 9}) {
    const at::Tensor weight = at::randn({24, 1, kernel}), bias = at::randn({24});
    const std::vector<int64_t> offsets = Offsets({1, 5, 5, 40, 3});
    const at::Tensor x = at::randn({offsets.back(), 24});
    const at::Tensor with_bias = CausalConv(x, weight, bias, GroupRows(offsets));
    const at::Tensor without = CausalConv(x, weight, {}, GroupRows(offsets));
    for (size_t row = 0; row + 1 < offsets.size(); ++row) {
      const auto rows = [&](const at::Tensor& all) { return all.slice(0, offsets[row], offsets[row + 1]); };
      EXPECT_LT(Error(rows(with_bias), NaiveConv(rows(x), weight, bias)), kTolerance) << kernel << ", row " << row;
      EXPECT_LT(Error(rows(without), NaiveConv(rows(x), weight, {})), kTolerance) << kernel << ", row " << row;
    }
  }
}

// More states than one tile holds: cut by rows where they are short, by channels where they are long, and by blocks of
// tokens. The last ones are not whole.
TEST(SelectiveScanTest, TilesChangeNothing) {
  at::manual_seed(3);
  for (const auto& [rows, length, channels] : {std::tuple{10, 70, 300}, {2, 700, 300}}) {
    const at::Tensor a = Decays(channels, 16);
    const ScanInput input = RandomScanInput(rows * length, channels, 16);
    const at::Tensor got = SelectiveScan(a, input, GroupRows(Offsets(std::vector<int64_t>(rows, length))));
    for (int64_t row = 0; row < rows; ++row) {
      const auto part = [&](const at::Tensor& x) { return x.narrow(0, row * length, length); };
      const at::Tensor expected =
          NaiveScan(a, {part(input.x_PI), part(input.delta_PI), part(input.b_PS), part(input.c_PS)});
      EXPECT_LT(Error(part(got), expected), kTolerance) << "row " << row << " of " << length << " tokens";
    }
  }
}

// Over 4096 tokens: decays that underflow at once, both kinds in turn, and states that hardly fade, whose decays of
// 1 - 1e-6 have few digits in float32.
TEST(SelectiveScanTest, LongTextsStayRight) {
  at::manual_seed(4);
  constexpr int64_t kTokens = 4096, kChannels = 8, kStates = 4;
  const at::Tensor strong = at::full({kTokens, kChannels}, 50.0f), weak = at::full({kTokens, kChannels}, 1e-4f);
  const at::Tensor mixed = at::where(at::rand({kTokens, kChannels}) < 0.01, strong, weak);
  const struct {
    const char* name;
    at::Tensor delta;
    double tolerance;
  } cases[] = {{"strong", strong, kTolerance}, {"weak", weak, 1e-4}, {"mixed", mixed, kTolerance}};
  for (const auto& test : cases) {
    const at::Tensor a = -at::exp(at::randn({kChannels, kStates})) * (test.name == std::string("weak") ? 1e-2 : 10);
    ScanInput input = RandomScanInput(kTokens, kChannels, kStates);
    input.delta_PI = test.delta;
    const at::Tensor got = SelectiveScan(a, input, GroupRows({0, kTokens}));
    EXPECT_TRUE(at::isfinite(got).all().item<bool>()) << test.name;
    EXPECT_LT(Error(got, NaiveScan(a, input)), test.tolerance) << test.name;
  }
}

// ---- rows and batches ----

const std::vector<int64_t> kMixedLengths = {1, 2, 2, 33, 33, 7, 101, 101, 101, 101, 32, 400, 4, 129};

void ExpectRowsAsAlone(const MambaMixer& mixer, const at::Tensor& x_PD, double tolerance) {
  const std::vector<int64_t> offsets = Offsets(kMixedLengths);
  const at::Tensor together = RunMamba(mixer, x_PD, GroupRows(offsets));
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    const at::Tensor got = together.slice(0, offsets[row], offsets[row + 1]);
    const at::Tensor alone = RunAlone(mixer, x_PD.slice(0, offsets[row], offsets[row + 1]));
    if (tolerance == 0) {
      EXPECT_TRUE(at::equal(got, alone)) << "row " << row << ", error " << Error(got, alone);
    } else {
      EXPECT_LT(Error(got, alone), tolerance) << "row " << row;
    }
  }
}

// One weight other than zero for each output: the products are exact in whatever order a BLAS adds.
at::Tensor OneWeightEach(int64_t out, int64_t in) {
  at::Tensor weight = at::zeros({out, in});
  const at::Tensor column = at::randint(in, {out, 1}, at::kLong);
  return weight.scatter_(1, column, at::pow(2.0, at::randint(-2, 1, {out, 1}, at::kFloat)));
}

// One thread: with more, it depends on the batch which elements are the last of a thread's share, and libtorch rounds
// those in another way.
TEST(MambaTest, ARowHasTheSameBitsAloneAndInABatch) {
  at::manual_seed(5);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Sizes sizes{.hidden = 32, .inner = 128};
  MambaMixer mixer = RandomMixer(sizes, /*biases=*/true);
  for (Linear* linear : {&mixer.in_proj, &mixer.x_proj, &mixer.dt_proj, &mixer.out_proj}) {
    linear->weight = OneWeightEach(linear->weight.size(0), linear->weight.size(1));
  }
  ExpectRowsAsAlone(mixer, at::randn({Offsets(kMixedLengths).back(), sizes.hidden}), 0);
  at::set_num_threads(threads);
}

// With any weights, whose sums over the hidden dimension may be added in another order.
TEST(MambaTest, ARowIsNearlyTheSameAloneAndInABatch) {
  at::manual_seed(6);
  const Sizes sizes{.hidden = 32, .inner = 128};
  ExpectRowsAsAlone(RandomMixer(sizes, /*biases=*/true), at::randn({Offsets(kMixedLengths).back(), sizes.hidden}),
                    kTolerance);
}

// ---- types ----

Linear ToType(const Linear& linear, at::ScalarType type) {
  return {.weight = linear.weight.to(type), .bias = linear.bias.defined() ? linear.bias.to(type) : linear.bias};
}

// From the same in_proj in bfloat16 on, the result is that of double precision up to the rounding of float32.
TEST(MambaTest, ConvolutionAndScanAreFloat32WhateverTheProjectionsAre) {
  at::manual_seed(7);
  MambaMixer mixer = RandomMixer({}, /*biases=*/true);
  mixer.in_proj = ToType(mixer.in_proj, at::kBFloat16);
  mixer.conv_weight = mixer.conv_weight.to(at::kBFloat16);
  mixer.conv_bias = mixer.conv_bias.to(at::kBFloat16);
  mixer.d = mixer.d.to(at::kBFloat16);
  const at::Tensor x = at::randn({150, 16});
  const at::Tensor got = RunAlone(mixer, x);
  EXPECT_EQ(got.scalar_type(), at::kFloat);
  EXPECT_LT(Error(got, NaiveAfterInProj(mixer, Double(mixer.in_proj(x)))), kTolerance);
}

TEST(MambaTest, ProjectionsRunInTheTypeOfTheirWeights) {
  at::manual_seed(8);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    MambaMixer mixer = RandomMixer({}, /*biases=*/true);
    for (Linear* linear : {&mixer.in_proj, &mixer.x_proj, &mixer.dt_proj, &mixer.out_proj}) {
      *linear = ToType(*linear, type);
    }
    const at::Tensor x = at::randn({150, 16});
    const at::Tensor got = RunAlone(mixer, x);
    EXPECT_EQ(got.scalar_type(), type);
    EXPECT_LT(Error(got, NaiveMamba(mixer, x)), type == at::kHalf ? 5e-3 : 4e-2);
  }
}

}  // namespace
}  // namespace midlayer
