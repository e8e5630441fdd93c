// Trained pooling heads, the whole way: what the server pools is what the head makes of transformers' hidden states.
// That the head itself computes what the original code does is shown in tests/nn and tests/models.
#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/models/pooling_head.h"
#include "tests/engine/embedder.h"
#include "tests/engine/golden.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

using testing::HasSubstr;

constexpr double kTolerance = 1e-4;

// A head of random weights for a golden model.
fs::path WriteHead(const TempDir& dir, int design, int64_t hidden, int64_t layers) {
  const bool multi_layer = design == 3 || design == 5;
  const auto shapes =
      PoolingHeadShapes({.hidden = hidden, .latents = 3, .inner = 8, .mlp = 5, .table_rows = multi_layer ? layers : 0});
  nlohmann::json header = {
      {"__metadata__",
       {{"format", "midlayer.pooling_head"}, {"version", "1"}, {"design", absl::StrCat(design)}, {"heads", "2"}}}};
  std::mt19937 random(static_cast<unsigned>(design));
  std::string data;
  for (const auto& [name, shape] : shapes) {
    const size_t begin = data.size();
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    for (int64_t i = 0; i < count; ++i) {
      const float value = static_cast<float>(random() % 2001) / 1000 - 1;
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
  }
  return dir.Write("head.safetensors", SafetensorsBytes(header.dump(), data));
}

// (T, D): transformers' hidden states of a text.
at::Tensor States(const Golden& golden, int layer, size_t text) {
  const std::string name = absl::StrCat("raw.", layer, ".", text);
  return at::tensor(golden.Values<float>(name)).view(golden.Shape(name));
}

// What the published code gives to the head for `design` and a model that ends at `layer`.
at::Tensor HeadInput(const Golden& golden, int design, int layer, size_t text) {
  if (design == 2) return States(golden, layer, text)[-1].unsqueeze(0);
  if (design == 4) return States(golden, layer, text);
  std::vector<at::Tensor> rows;
  for (int l = 1; l <= layer; ++l) {
    const at::Tensor states_TD = States(golden, l, text);
    rows.push_back(design == 3 ? states_TD[-1] : states_TD.mean(0));
  }
  return at::stack(rows);
}

struct Case {
  int design;
  const char* model;
};

class TrainedPoolingTest : public testing::TestWithParam<Case> {
 protected:
  const fs::path model_ = kGolden / "models" / GetParam().model;
  const int design_ = GetParam().design;
  const Pooling pooling_ = design_ == 3 || design_ == 5 ? Pooling::kTrainedMulti : Pooling::kTrainedLast;
  const ArchSpec arch_ = DescribeModel(model_).value().arch;
  const TempDir dir_;
  const fs::path head_ = WriteHead(dir_, design_, arch_.hidden, arch_.layers);
};

INSTANTIATE_TEST_SUITE_P(Designs, TrainedPoolingTest,
                         testing::Values(Case{2, "llama"}, Case{3, "llama"}, Case{4, "bert"}, Case{5, "bert"}),
                         [](const auto& info) { return absl::StrCat("design_", info.param.design); });

// Every layer in one request, beside a pooling without a head; texts of different lengths share a batch.
TEST_P(TrainedPoolingTest, EqualsTheHeadOnTransformersStates) {
  const Golden golden(model_ / "golden.safetensors");
  Embedder embedder({.directory = model_, .device = "cpu", .pooling_head = head_});
  EXPECT_EQ(embedder.info().trained_pooling, pooling_);
  const auto head = PoolingHead::Load(head_, {.hidden = arch_.hidden, .layers = arch_.layers}).value();
  EmbedTask task{.texts = TextsOf(model_), .outputs = {{.layers = {1}, .pooling = Pooling::kMean, .normalize = false}}};
  for (int layer = 1; layer <= arch_.layers; ++layer) {
    task.outputs.push_back({.layers = {layer}, .pooling = pooling_, .normalize = false});
  }
  const EmbedResult result = embedder.Embed(task).value();
  double largest = 0;
  for (size_t text = 0; text < task.texts.size(); ++text) {
    EXPECT_LE(LargestDifference(result.texts[text].vectors[0], golden.Row("pooled.raw.mean.1", text)), kTolerance);
    for (int layer = 1; layer <= arch_.layers; ++layer) {
      const at::Tensor expected_D = head->pool().Pool(HeadInput(golden, design_, layer, text)).contiguous();
      const std::vector<float> expected(expected_D.const_data_ptr<float>(),
                                        expected_D.const_data_ptr<float>() + expected_D.numel());
      const double difference = LargestDifference(result.texts[text].vectors[static_cast<size_t>(layer)], expected);
      EXPECT_LE(difference, kTolerance) << "layer " << layer << ", text " << text;
      largest = std::max(largest, difference);
    }
  }
  RecordProperty("trained", absl::StrFormat("%.0e", largest));
}

TEST_P(TrainedPoolingTest, MayBeTheDefault) {
  LoadOptions options{.directory = model_, .device = "cpu", .pooling_head = head_};
  options.overrides.default_pooling = pooling_;
  EXPECT_EQ(Embedder(options).info().description.default_pooling, pooling_);
}

TEST_P(TrainedPoolingTest, ChangesTheFingerprintOfEveryLayer) {
  const ModelInfo without = Embedder({.directory = model_, .device = "cpu"}).info();
  const ModelInfo with = Embedder({.directory = model_, .device = "cpu", .pooling_head = head_}).info();
  for (size_t layer = 0; layer < without.fingerprints.size(); ++layer) {
    EXPECT_NE(with.fingerprints[layer], without.fingerprints[layer]) << layer;
  }
}

TEST_P(TrainedPoolingTest, AHeadThatDoesNotFitIsRefused) {
  const auto message = [](const LoadOptions& options) { return std::string(LoadModel(options).status().message()); };
  const TempDir other;
  const LoadOptions options{.directory = model_, .device = "cpu", .pooling_head = head_};

  LoadOptions wide = options;
  wide.pooling_head = WriteHead(other, design_, arch_.hidden + 2, arch_.layers);
  EXPECT_THAT(message(wide), HasSubstr(absl::StrCat("--pooling-head: ", wide.pooling_head,
                                                    ": tensor latents: expected "
                                                    "rows of ",
                                                    arch_.hidden)));

  LoadOptions turned = options;
  turned.pooling_head = WriteHead(other, design_ <= 3 ? design_ + 2 : design_ - 2, arch_.hidden, arch_.layers);
  EXPECT_THAT(message(turned), HasSubstr(absl::StrCat("--pooling-head: expected a head for ",
                                                      AttentionDirectionName(arch_.direction), " attention")));

  LoadOptions kind = options;
  kind.overrides.default_pooling = pooling_ == Pooling::kTrainedLast ? Pooling::kTrainedMulti : Pooling::kTrainedLast;
  EXPECT_THAT(message(kind), HasSubstr("--default-pooling: expected the pooling of the head, trained_"));
  kind.pooling_head.clear();
  EXPECT_THAT(message(kind), HasSubstr("--default-pooling: expected a --pooling-head for it, found trained_"));
}

// A decoder whose mask is removed takes the head of a decoder that was trained so.
TEST(TrainedPoolingOfDecodersTest, BidirectionalAttentionTakesItsHead) {
  const fs::path model = kGolden / "models/llama";
  const ArchSpec arch = DescribeModel(model).value().arch;
  const TempDir dir;
  const fs::path file = WriteHead(dir, 5, arch.hidden, arch.layers);
  Embedder embedder({.directory = model, .device = "cpu", .pooling_head = file, .overrides = {.bidirectional = true}});
  const Golden golden(model / "golden.safetensors");
  const auto head = PoolingHead::Load(file, {.hidden = arch.hidden, .layers = arch.layers}).value();
  const EmbedTask task{.texts = TextsOf(model),
                       .outputs = {{.layers = {arch.layers}, .pooling = Pooling::kTrainedMulti, .normalize = false}}};
  const EmbedResult result = embedder.Embed(task).value();
  for (size_t text = 0; text < task.texts.size(); ++text) {
    std::vector<at::Tensor> means;
    for (int layer = 1; layer <= arch.layers; ++layer) {
      means.push_back(at::tensor(golden.Row(absl::StrCat("bidirectional.pooled.raw.mean.", layer), text)));
    }
    const at::Tensor expected_D = head->pool().Pool(at::stack(means)).contiguous();
    const std::vector<float> expected(expected_D.const_data_ptr<float>(),
                                      expected_D.const_data_ptr<float>() + expected_D.numel());
    EXPECT_LE(LargestDifference(result.texts[text].vectors[0], expected), kTolerance) << "text " << text;
  }
}

}  // namespace
}  // namespace midlayer
