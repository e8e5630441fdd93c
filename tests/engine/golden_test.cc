// The whole way from ids to pooled vectors on libtorch, against transformers and sentence-transformers.
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/engine/torch_runner.h"
#include "server/models/device.h"
#include "server/models/transformer.h"
#include "tests/engine/embedder.h"
#include "tests/engine/golden.h"

namespace midlayer {
namespace {

constexpr double kTolerance = 1e-4;       // to transformers, float32, absolute
constexpr double kBatchTolerance = 1e-5;  // the same text in other company

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

// The largest difference of vectors that must be the same, for docs/models.md.
class Largest {
 public:
  explicit Largest(std::string name) : name_(std::move(name)) {}
  ~Largest() { testing::Test::RecordProperty(name_, absl::StrFormat("%.0e", largest_)); }
  void ExpectSame(const std::vector<float>& got, const std::vector<float>& expected, const std::string& what) {
    const double difference = LargestDifference(got, expected);
    EXPECT_LE(difference, kTolerance) << what;
    largest_ = std::max(largest_, difference);
  }

 private:
  const std::string name_;
  double largest_ = 0;
};

OutputSpec Plain(int layer, Pooling pooling, State state = State::kRaw) {
  return {.layers = {layer}, .pooling = pooling, .state = state, .normalize = false};
}

constexpr Pooling kAllPoolings[] = {Pooling::kCls, Pooling::kMean, Pooling::kLast, Pooling::kMax,
                                    Pooling::kWeightedMean};

// Every golden model whose hidden states are there.
std::vector<std::string> GoldenModels() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden / "models")) {
    if (Golden(entry.path() / "golden.safetensors").Has("raw.0.0")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ArchitectureTest : public testing::TestWithParam<std::string> {
 protected:
  const fs::path directory_ = kGolden / "models" / GetParam();
  const std::vector<std::string> texts_ = TextsOf(directory_);
};

INSTANTIATE_TEST_SUITE_P(Models, ArchitectureTest, testing::ValuesIn(GoldenModels()),
                         [](const auto& info) { return info.param; });

TEST(GoldenModelsTest, EveryArchitectureHasOne) {
  std::set<std::string> without;
  for (const Architecture& architecture : Architectures()) without.insert(std::string(architecture.model_type));
  for (const std::string& name : GoldenModels()) {
    without.erase(DescribeModel(kGolden / "models" / name).value().arch.model_type);
  }
  EXPECT_THAT(without, testing::IsEmpty());
}

TEST_P(ArchitectureTest, EveryTokenOfEveryLayerEqualsTransformers) {
  const Golden golden(directory_ / "golden.safetensors");
  LoadedModel model = LoadModel({.directory = directory_, .device = "cpu"}).value();
  const c10::InferenceMode inference;
  Largest largest("tokens");
  for (size_t text = 0; text < texts_.size(); ++text) {
    const std::vector<int64_t> expected_ids = golden.Values<int64_t>(absl::StrCat("ids.", text));
    const Encoding encoding = model.tokenizer->Encode(texts_[text], Truncation::kNone).value();
    ASSERT_EQ(std::vector<int64_t>(encoding.ids.begin(), encoding.ids.end()), expected_ids) << "text " << text;
    const auto tokens = static_cast<int64_t>(encoding.ids.size());
    const PackedTokens batch{.ids = encoding.ids, .offsets = {0, tokens}, .last_layer = {model.info.max_layer}};
    int layers_seen = 0;
    const auto compare = [&](int layer, const at::Tensor& states) {
      ++layers_seen;
      const at::Tensor copy = states.contiguous();
      const std::vector<float> got(copy.const_data_ptr<float>(), copy.const_data_ptr<float>() + copy.numel());
      const std::string name = absl::StrCat("raw.", layer, ".", text);
      ASSERT_TRUE(golden.Has(name));
      largest.ExpectSame(got, golden.Values<float>(name), name);
      const std::string normed_name = absl::StrCat("normed.", layer, ".", text);
      if (!golden.Has(normed_name)) return;
      const at::Tensor normed = model.replicas[0].transformer->Normed(layer, states).contiguous();
      const std::vector<float> got_normed(normed.const_data_ptr<float>(),
                                          normed.const_data_ptr<float>() + normed.numel());
      largest.ExpectSame(got_normed, golden.Values<float>(normed_name), normed_name);
    };
    model.replicas[0].transformer->Run(batch, [&](int layer, const at::Tensor& states) {
      compare(layer, states);
      return true;
    });
    EXPECT_EQ(layers_seen, model.info.max_layer + 1);
  }
}

// Every layer and pooling of every text in `states`, all from one request, against the tensors PREFIXraw.POOLING.LAYER
// and PREFIXnormed.POOLING.LAYER. `measured`: what the largest difference is called in the test's report.
void ExpectOutputs(Embedder& embedder, const Golden& golden, const std::string& prefix,
                   const std::vector<std::string>& texts, const std::vector<State>& states, const char* measured) {
  EmbedTask task{.texts = texts};
  std::vector<std::string> names;
  for (int layer = 0; layer <= embedder.info().max_layer; ++layer) {
    for (State state : states) {
      for (Pooling pooling : kAllPoolings) {
        task.outputs.push_back(Plain(layer, pooling, state));
        names.push_back(absl::StrCat(prefix, state == State::kNormed ? "normed." : "raw.",
                                     std::string(PoolingName(pooling)), ".", layer));
      }
    }
  }
  const EmbedResult result = embedder.Embed(task).value();
  Largest largest(measured);
  for (size_t text = 0; text < texts.size(); ++text) {
    for (size_t output = 0; output < names.size(); ++output) {
      largest.ExpectSame(result.texts[text].vectors[output], golden.Row(names[output], text),
                         absl::StrCat(names[output], ", text ", text));
    }
  }
}

// The same on `device`, in both states where the model has a final norm.
void ExpectEveryOutputEqualsTransformers(const fs::path& directory, const std::string& device,
                                         const FastPaths& fast_paths = {}) {
  const Golden golden(directory / "golden.safetensors");
  Embedder embedder({.directory = directory, .device = device, .fast_paths = fast_paths});
  const bool has_norm = golden.Has("pooled.normed.mean.0");
  EXPECT_EQ(has_norm, embedder.info().description.arch.final_norm);
  const std::vector<State> states =
      has_norm ? std::vector<State>{State::kRaw, State::kNormed} : std::vector{State::kRaw};
  ExpectOutputs(embedder, golden, "pooled.", TextsOf(directory), states, "poolings");
}

TEST_P(ArchitectureTest, EveryLayerPoolingAndStateInOnePassEqualsTransformers) {
  ExpectEveryOutputEqualsTransformers(directory_, "cpu");
}

TEST_P(ArchitectureTest, EveryOutputEqualsTransformersWithoutEachFastPath) {
  ExpectEveryOutputEqualsTransformers(directory_, "cpu", {.packed_linear = false});
  ExpectEveryOutputEqualsTransformers(directory_, "cpu", {.cpu_kernels = false});
  ExpectEveryOutputEqualsTransformers(directory_, "cpu", {.packed_linear = false, .cpu_kernels = false});
}

TEST_P(ArchitectureTest, EveryLayerPoolingAndStateOnAGpuEqualsTransformers) {
  if (const auto gpu = OpenDevices("cuda"); !gpu.ok()) GTEST_SKIP() << gpu.status().message();
  ExpectEveryOutputEqualsTransformers(directory_, "cuda");
}

// A decoder without its causal mask, at every layer and pooling.
TEST_P(ArchitectureTest, BidirectionalAttentionEqualsTransformersWithoutItsMask) {
  const Golden golden(directory_ / "golden.safetensors");
  if (!golden.Has("bidirectional.pooled.raw.mean.0")) GTEST_SKIP() << "attention is in both directions anyway";
  Embedder embedder({.directory = directory_, .device = "cpu", .overrides = {.bidirectional = true}});
  EXPECT_EQ(embedder.info().description.default_pooling, Pooling::kMean);
  ExpectOutputs(embedder, golden, "bidirectional.pooled.", texts_, {State::kRaw}, "bidirectional");
}

TEST_P(ArchitectureTest, ATextGivesTheSameVectorAloneAndInEveryBatch) {
  Embedder embedder({.directory = directory_, .device = "cpu"});
  const int layers = embedder.info().max_layer;
  std::mt19937 random(7);
  for (int trial = 0; trial < 20; ++trial) {
    // A batch of random texts that leave at random layers with random poolings, against each of them alone.
    std::vector<EmbedTask> tasks;
    for (int i = 0; i < 12; ++i) {
      tasks.push_back({.texts = {texts_[random() % texts_.size()]},
                       .outputs = {Plain(static_cast<int>(random() % (layers + 1)), kAllPoolings[random() % 5])}});
    }
    const std::vector<std::vector<std::vector<float>>> together = embedder.RunAsOneBatch(tasks);
    for (size_t i = 0; i < tasks.size(); ++i) {
      const std::vector<std::vector<float>> alone = embedder.RunAsOneBatch({tasks[i]})[0];
      EXPECT_LE(LargestDifference(together[i][0], alone[0]), kBatchTolerance) << "trial " << trial << ", row " << i;
    }
  }
}

// Bit for bit: what is computed above a layer does not change what is taken from it.
TEST_P(ArchitectureTest, LeavingEarlyGivesWhatTheWholePassGivesThere) {
  Embedder embedder({.directory = directory_, .device = "cpu"});
  const int layers = embedder.info().max_layer;
  std::vector<EmbedTask> whole;
  for (const std::string& text : texts_) {
    whole.push_back({.texts = {text}});
    for (int layer = 0; layer <= layers; ++layer) whole.back().outputs.push_back(Plain(layer, Pooling::kMean));
  }
  const auto expected = embedder.RunAsOneBatch(whole);
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<EmbedTask> early = whole;
    for (EmbedTask& task : early) task.outputs = {Plain(layer, Pooling::kMean)};
    const auto got = embedder.RunAsOneBatch(early);
    for (size_t i = 0; i < early.size(); ++i) {
      EXPECT_EQ(got[i][0], expected[i][static_cast<size_t>(layer)]) << "layer " << layer << ", text " << i;
    }
  }
}

TEST_P(ArchitectureTest, AModelLoadedUpToALayerGivesTheSameVectorsAndFingerprints) {
  Embedder full({.directory = directory_, .device = "cpu"});
  for (int max_layer = 0; max_layer < full.info().max_layer; ++max_layer) {
    Embedder cut({.directory = directory_, .device = "cpu", .max_layer = max_layer});
    EmbedTask task{.texts = texts_,
                   .outputs = {Plain(max_layer, Pooling::kMean), Plain(max_layer, Pooling::kMean, State::kNormed)}};
    const EmbedResult expected = full.Embed(task).value(), got = cut.Embed(task).value();
    for (size_t text = 0; text < texts_.size(); ++text) {
      EXPECT_EQ(got.texts[text].vectors, expected.texts[text].vectors);
    }
    ASSERT_EQ(cut.info().fingerprints.size(), static_cast<size_t>(max_layer + 1));
    for (int layer = 0; layer <= max_layer; ++layer) {
      EXPECT_EQ(cut.info().fingerprints[layer], full.info().fingerprints[layer]);
    }
  }
}

// What --trim-to-selection does: how deep to load is decided when layer 0 is there.
TEST_P(ArchitectureTest, LoadsNoMoreLayersThanAreEnough) {
  const std::vector<std::string> fingerprints =
      LoadModel({.directory = directory_, .device = "cpu"}).value().info.fingerprints;
  const int layers = static_cast<int>(fingerprints.size()) - 1;
  const std::pair<int, int> cases[] = {{0, 0}, {1, 1}, {layers, layers}, {-1, layers}, {layers + 5, layers}};
  for (const auto& [enough, expected] : cases) {
    const LoadedModel model = LoadModel({.directory = directory_,
                                         .device = "cpu",
                                         .enough_layers =
                                             [&](const std::string& fingerprint) {
                                               EXPECT_EQ(fingerprint, fingerprints[0]);
                                               return enough;
                                             }})
                                  .value();
    EXPECT_EQ(model.info.max_layer, expected) << enough;
    EXPECT_EQ(model.info.fingerprints,
              std::vector<std::string>(fingerprints.begin(), fingerprints.begin() + expected + 1));
  }
}

// As close as 0.999, or as transformers itself comes in bfloat16 where a random model amplifies the rounding.
void ExpectLowPrecisionCloseToFloat32(const fs::path& directory, const std::string& device) {
  const Golden golden(directory / "golden.safetensors");
  const std::vector<std::string> texts = TextsOf(directory);
  const auto least = [&](int layer, size_t text) {
    const std::string name = absl::StrCat("bfloat16.cosine.", layer);
    return golden.Has(name) ? std::min(0.999f, golden.Values<float>(name)[text]) : 0.999f;
  };
  for (const char* dtype : {"bfloat16", "float16"}) {
    Embedder embedder({.directory = directory, .device = device, .dtype = dtype});
    EmbedTask task{.texts = texts};
    for (int layer = 0; layer <= embedder.info().max_layer; ++layer)
      task.outputs.push_back(Plain(layer, Pooling::kMean));
    const EmbedResult result = embedder.Embed(task).value();
    double lowest = 1;
    for (size_t text = 0; text < texts.size(); ++text) {
      for (int layer = 0; layer <= embedder.info().max_layer; ++layer) {
        const double cosine =
            Cosine(result.texts[text].vectors[layer], golden.Row(absl::StrCat("pooled.raw.mean.", layer), text));
        EXPECT_GE(cosine, least(layer, text)) << dtype << ", layer " << layer << ", text " << text;
        lowest = std::min(lowest, cosine);
      }
    }
    testing::Test::RecordProperty(device == "cpu" ? dtype : absl::StrCat(device, " ", dtype),
                                  absl::StrFormat("%.5f", lowest));
  }
}

TEST_P(ArchitectureTest, LowPrecisionStaysCloseToFloat32) { ExpectLowPrecisionCloseToFloat32(directory_, "cpu"); }

// The tokens of a text are brought to int8 by themselves, so its vectors do not depend on the batch either.
TEST_P(ArchitectureTest, Int8StaysNearFloat32InEveryBatch) {
  if (!CanQuantize()) GTEST_SKIP() << "this processor does not multiply int8";
  const Golden golden(directory_ / "golden.safetensors");
  Embedder embedder({.directory = directory_, .device = "cpu", .dtype = "int8"});
  EXPECT_EQ(embedder.info().dtype, "int8");
  EmbedTask task{.texts = texts_};
  for (int layer = 0; layer <= embedder.info().max_layer; ++layer) {
    task.outputs.push_back(Plain(layer, Pooling::kMean));
  }
  const EmbedResult together = embedder.Embed(task).value();
  double lowest = 1;
  for (size_t text = 0; text < texts_.size(); ++text) {
    EmbedTask alone = task;
    alone.texts = {texts_[text]};
    EXPECT_EQ(embedder.Embed(alone)->texts[0].vectors, together.texts[text].vectors) << "text " << text;
    for (size_t layer = 0; layer < task.outputs.size(); ++layer) {
      const std::vector<float> exact = golden.Row(absl::StrCat("pooled.raw.mean.", layer), text);
      lowest = std::min(lowest, Cosine(together.texts[text].vectors[layer], exact));
    }
  }
  EXPECT_GE(lowest, 0.97);
  RecordProperty("int8", absl::StrFormat("%.5f", lowest));
}

TEST_P(ArchitectureTest, LowPrecisionOnAGpuStaysCloseToFloat32) {
  if (const auto gpu = OpenDevices("cuda"); !gpu.ok()) GTEST_SKIP() << gpu.status().message();
  ExpectLowPrecisionCloseToFloat32(directory_, "cuda");
}

// With the residual stream and norms in low precision too: what transformers computes when it is asked for that type,
// so no more is to be expected than what it reaches itself, with room for another order of rounding.
TEST_P(ArchitectureTest, PureLowPrecisionIsAsCloseToFloat32AsTransformersIs) {
  const Golden golden(directory_ / "golden.safetensors");
  if (!golden.Has("bfloat16.cosine.0")) GTEST_SKIP() << "transformers has not run it in bfloat16";
  Embedder embedder({.directory = directory_, .device = "cpu", .dtype = "bfloat16", .pure_low_precision = true});
  EXPECT_EQ(embedder.info().dtype, "bfloat16,pure");
  EmbedTask task{.texts = texts_};
  for (int layer = 0; layer <= embedder.info().max_layer; ++layer) {
    task.outputs.push_back(Plain(layer, Pooling::kMean));
  }
  const EmbedResult result = embedder.Embed(task).value();
  double lowest = 1, their_lowest = 1;
  for (int layer = 0; layer <= embedder.info().max_layer; ++layer) {
    double ours = 0, theirs = 0;  // sums over the texts of 1 - cosine
    for (size_t text = 0; text < texts_.size(); ++text) {
      const std::vector<float> exact = golden.Row(absl::StrCat("pooled.raw.mean.", layer), text);
      const double cosine = Cosine(result.texts[text].vectors[static_cast<size_t>(layer)], exact);
      const double their_cosine = golden.Values<float>(absl::StrCat("bfloat16.cosine.", layer))[text];
      ours += 1 - cosine;
      theirs += 1 - their_cosine;
      lowest = std::min(lowest, cosine);
      their_lowest = std::min(their_lowest, their_cosine);
    }
    EXPECT_LE(ours, 2 * theirs + 1e-5) << "layer " << layer;
  }
  RecordProperty("pure", absl::StrFormat("%.5f", lowest));
  RecordProperty("transformers", absl::StrFormat("%.5f", their_lowest));
}

// Against PEFT's own merge: plain and rank-stabilised, rank and alpha by pattern, transposed weights, and one after the
// other.
TEST(AdapterTest, MergedWeightsGiveThePeftVectors) {
  const struct {
    const char* golden;
    const char* base;
    std::vector<std::string> adapters;
  } cases[] = {
      {"llama_adapter_all", "llama", {"llama_adapter_all"}},
      {"llama_adapter_rs", "llama", {"llama_adapter_rs"}},
      {"llama_adapter_both", "llama", {"llama_adapter_all", "llama_adapter_rs"}},
      {"gpt2_adapter", "gpt2", {"gpt2_adapter"}},
  };
  std::set<std::string> fingerprints;
  for (const auto& test : cases) {
    SCOPED_TRACE(test.golden);
    const fs::path base = kGolden / "models" / test.base;
    LoadOptions options{.directory = base, .device = "cpu"};
    fingerprints.insert(Embedder(options).info().fingerprints.back());
    for (const std::string& adapter : test.adapters) options.adapters.push_back(kGolden / "models" / adapter);
    Embedder embedder(options);
    fingerprints.insert(embedder.info().fingerprints.back());
    ExpectOutputs(embedder, Golden(kGolden / "models" / test.golden / "golden.safetensors"), "pooled.", TextsOf(base),
                  {State::kRaw}, test.golden);
  }
  EXPECT_EQ(fingerprints.size(), 6u) << "two bases and four adapted models";
}

TEST(AdapterTest, OfAnotherBaseIsRefused) {
  const auto model = LoadModel(
      {.directory = kGolden / "models/mistral", .device = "cpu", .adapters = {kGolden / "models/llama_adapter_all"}});
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(model.status().message()), testing::HasSubstr("adapter"));
}

TEST(FingerprintTest, ChangesWithWhateverChangesAVector) {
  const auto fingerprint = [](const LoadOptions& options) {
    return LoadModel(options).value().info.fingerprints.back();
  };
  const LoadOptions base{.directory = kGolden / "models/bert", .device = "cpu"};
  const std::string reference = fingerprint(base);
  EXPECT_EQ(fingerprint(base), reference);
  LoadOptions bfloat16 = base;
  bfloat16.dtype = "bfloat16";
  EXPECT_NE(fingerprint(bfloat16), reference);
  LoadOptions shorter = base;
  shorter.overrides.max_tokens = 10;
  EXPECT_NE(fingerprint(shorter), reference);
  LoadOptions other = base;
  other.directory = kGolden / "models/bert_float16";
  EXPECT_NE(fingerprint(other), reference);
}

TEST(FingerprintTest, IsTheSameForOneFileAndForShards) {
  const auto fingerprints = [](const char* name) {
    return LoadModel({.directory = kGolden / "models" / name, .device = "cpu"}).value().info.fingerprints;
  };
  EXPECT_EQ(fingerprints("bert_sharded"), fingerprints("bert"));
}

class SentenceTransformersTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Forms, SentenceTransformersTest, testing::Values("sentence", "sentence_v6"),
                         [](const auto& info) { return std::string(info.param); });

// Lower-casing, the length limit, pooling, Dense and, for the prompt, leaving it out of the pooling.
TEST_P(SentenceTransformersTest, DefaultsEqualTheLibrary) {
  const fs::path directory = kGolden / "models" / GetParam();
  const Golden golden(directory / "golden.safetensors");
  Embedder embedder({.directory = directory, .device = "cpu"});
  const ModelInfo& info = embedder.info();
  ASSERT_GT(info.dense_features, 0);
  for (const char* prompt_name : {"", "query"}) {
    const std::string prompt = *prompt_name ? info.description.prompts.at(prompt_name) : "";
    const EmbedTask task{
        .texts = Texts(kGolden / "texts.json"),
        .prompt = prompt,
        .truncation = Truncation::kRight,
        .outputs = {{.layers = {info.max_layer}, .pooling = info.description.default_pooling, .dense = true}}};
    const EmbedResult result = embedder.Embed(task).value();
    const std::string name = *prompt_name ? absl::StrCat("embeddings.", prompt_name) : "embeddings";
    for (size_t text = 0; text < task.texts.size(); ++text) {
      EXPECT_LE(LargestDifference(result.texts[text].vectors[0], golden.Row(name, text)), kTolerance)
          << name << ", text " << text;
    }
  }
}

constexpr char kNoMiniLm[] = "models/all-MiniLM-L6-v2 is not there; tools/setup.sh puts it there";

// The default model's directory, if it is there.
std::optional<fs::path> MiniLm() {
  const char* named = std::getenv("MIDLAYER_TEST_MODEL");
  const fs::path directory = named != nullptr ? fs::path(named) : kSource / "models/all-MiniLM-L6-v2";
  return fs::exists(directory) ? std::optional(directory) : std::nullopt;
}

TEST(MiniLmTest, EqualsSentenceTransformersAndTransformersAtEveryLayer) {
  const std::optional<fs::path> directory = MiniLm();
  if (!directory) GTEST_SKIP() << kNoMiniLm;
  const Golden golden(kGolden / "minilm/golden.safetensors");
  Embedder embedder({.directory = *directory, .device = "cpu"});
  EmbedTask task{.texts = Texts(kGolden / "minilm/texts.json")};
  task.outputs.push_back({.layers = {6}, .pooling = Pooling::kMean});
  std::vector<std::string> names = {"embeddings"};
  for (int layer = 0; layer <= 6; ++layer) {
    for (Pooling pooling : kAllPoolings) {
      task.outputs.push_back(Plain(layer, pooling));
      names.push_back(absl::StrCat("pooled.raw.", std::string(PoolingName(pooling)), ".", layer));
    }
  }
  const EmbedResult result = embedder.Embed(task).value();
  for (size_t text = 0; text < task.texts.size(); ++text) {
    EXPECT_LE(1 - Cosine(result.texts[text].vectors[0], golden.Row("embeddings", text)), 1e-5);
    for (size_t output = 0; output < names.size(); ++output) {
      EXPECT_LE(LargestDifference(result.texts[text].vectors[output], golden.Row(names[output], text)), kTolerance)
          << names[output] << ", text " << text;
    }
  }
}

// The real model, where the figure means something: cosine to float32.
TEST(MiniLmTest, BFloat16StaysWithinOneInTenThousand) {
  const std::optional<fs::path> directory = MiniLm();
  if (!directory) GTEST_SKIP() << kNoMiniLm;
  const Golden golden(kGolden / "minilm/golden.safetensors");
  Embedder embedder({.directory = *directory, .device = "cpu", .dtype = "bfloat16"});
  const EmbedTask task{.texts = Texts(kGolden / "minilm/texts.json"),
                       .outputs = {{.layers = {6}, .pooling = Pooling::kMean}}};
  const EmbedResult result = embedder.Embed(task).value();
  for (size_t text = 0; text < task.texts.size(); ++text) {
    EXPECT_GE(Cosine(result.texts[text].vectors[0], golden.Row("embeddings", text)), 0.9999) << "text " << text;
  }
}

}  // namespace
}  // namespace midlayer
