#include "server/service/convert.h"

#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/utf8.h"
#include "server/base/version.h"
#include "tests/service/tiny_model.h"

namespace midlayer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// With Dense modules and prompts.
ModelInfo Model(int max_layer = 6) {
  ModelInfo model = TinyModel(max_layer);
  AddDenseAndPrompts(model);
  model.description.default_pooling = Pooling::kCls;
  model.dtype = "float32";
  model.device = "cpu";
  return model;
}

ModelInfo PlainModel() {
  ModelInfo model = Model();
  model.dense_features = 0;
  model.description.prompts.clear();
  return model;
}

// With a trained head over all layers.
ModelInfo TrainedModel() {
  ModelInfo model = Model();
  model.trained_pooling = Pooling::kTrainedMulti;
  return model;
}

// The same, where that is what requests get that name no pooling.
ModelInfo TrainedByDefault() {
  ModelInfo model = TrainedModel();
  model.description.default_pooling = Pooling::kTrainedMulti;
  return model;
}

constexpr RequestLimits kLimits = {.max_texts = 10, .max_text_bytes = 100};

v1::EmbedRequest FromText(const std::string& text_format) {
  v1::EmbedRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text_format, &request)) << text_format;
  return request;
}

absl::StatusOr<EmbedTask> Convert(const std::string& text_format, const ModelInfo& model = Model()) {
  return ToTask(FromText(text_format), {model, kLimits, SelectionInForce()}, Priority::kInteractive);
}

void ExpectSame(const OutputSpec& found, const OutputSpec& expected) {
  EXPECT_EQ(found.layers, expected.layers);
  EXPECT_EQ(found.pooling, expected.pooling);
  EXPECT_EQ(found.state, expected.state);
  EXPECT_EQ(found.fusion, expected.fusion);
  EXPECT_EQ(found.weights, expected.weights);
  EXPECT_EQ(found.normalize, expected.normalize);
  EXPECT_EQ(found.dimensions, expected.dimensions);
  EXPECT_EQ(found.dense, expected.dense);
  EXPECT_EQ(found.source, expected.source);
}

TEST(ToTaskTest, GoodOutputs) {
  const auto cls = Pooling::kCls;
  const struct {
    const char* request;
    ModelInfo model;
    std::vector<OutputSpec> outputs;
  } cases[] = {
      // Defaults: the last loaded layer, the model's pooling; its Dense modules where the model ends naturally.
      {"", Model(), {{.layers = {6}, .pooling = cls, .dense = true, .source = LayerSource::kDefault}}},
      {"", PlainModel(), {{.layers = {6}, .pooling = cls, .source = LayerSource::kDefault}}},
      {"", Model(/*max_layer=*/4), {{.layers = {4}, .pooling = cls, .source = LayerSource::kDefault}}},
      // The short form.
      {"layer: 0", Model(), {{.layers = {0}, .pooling = cls}}},
      {"layer: 6", Model(), {{.layers = {6}, .pooling = cls, .dense = true}}},
      {"layer: -1", Model(), {{.layers = {6}, .pooling = cls, .dense = true}}},
      {"layer: -7", Model(), {{.layers = {0}, .pooling = cls}}},
      {"layer: -3", Model(/*max_layer=*/4), {{.layers = {4}, .pooling = cls}}},
      {"layer: 4", Model(/*max_layer=*/4), {{.layers = {4}, .pooling = cls}}},
      {"layer: 6 pooling: POOLING_CLS state: STATE_RAW", Model(), {{.layers = {6}, .pooling = cls, .dense = true}}},
      {"layer: 6 pooling: POOLING_MEAN", Model(), {{.layers = {6}, .pooling = Pooling::kMean}}},
      {"pooling: POOLING_LAST", Model(), {{.layers = {6}, .pooling = Pooling::kLast, .source = LayerSource::kDefault}}},
      {"layer: 2 pooling: POOLING_MAX", Model(), {{.layers = {2}, .pooling = Pooling::kMax}}},
      {"layer: 2 pooling: POOLING_WEIGHTED_MEAN", Model(), {{.layers = {2}, .pooling = Pooling::kWeightedMean}}},
      {"layer: 6 state: STATE_NORMED", Model(), {{.layers = {6}, .pooling = cls, .state = State::kNormed}}},
      {"layer: 1 normalize: false dimensions: 32",
       Model(),
       {{.layers = {1}, .pooling = cls, .normalize = false, .dimensions = 32}}},
      {"layer: 1 normalize: true", Model(), {{.layers = {1}, .pooling = cls}}},
      {"dimensions: 16",
       Model(),
       {{.layers = {6}, .pooling = cls, .dimensions = 16, .dense = true, .source = LayerSource::kDefault}}},
      // A trained head is no part of sentence-transformers, so no Dense modules follow.
      {"pooling: POOLING_TRAINED_MULTI",
       TrainedModel(),
       {{.layers = {6}, .pooling = Pooling::kTrainedMulti, .source = LayerSource::kDefault}}},
      {"layer: 2 pooling: POOLING_TRAINED_MULTI", TrainedModel(), {{.layers = {2}, .pooling = Pooling::kTrainedMulti}}},
      {"", TrainedByDefault(), {{.layers = {6}, .pooling = Pooling::kTrainedMulti, .source = LayerSource::kDefault}}},
      {"layer: 0 pooling: POOLING_CLS", TrainedByDefault(), {{.layers = {0}, .pooling = cls}}},
      // The long form.
      {"outputs {}", Model(), {{.layers = {6}, .pooling = cls, .dense = true, .source = LayerSource::kDefault}}},
      {"outputs { dense: false }", Model(), {{.layers = {6}, .pooling = cls, .source = LayerSource::kDefault}}},
      {"outputs { layers: 3 dense: true dimensions: 16 }",
       Model(),
       {{.layers = {3}, .pooling = cls, .dimensions = 16, .dense = true}}},
      {"outputs { layers: [1, -1, 3] dimensions: 96 }",
       Model(),
       {{.layers = {1, 6, 3}, .pooling = cls, .fusion = Fusion::kConcat, .dimensions = 96}}},
      {"outputs { layers: [6, 6] dense: true dimensions: 32 }",
       Model(),
       {{.layers = {6, 6}, .pooling = cls, .dimensions = 32, .dense = true}}},
      {"outputs { layers: [1, 2] fusion: FUSION_CONCAT }", Model(), {{.layers = {1, 2}, .pooling = cls}}},
      {"outputs { layers: [1, 2] fusion: FUSION_MEAN dimensions: 32 }",
       Model(),
       {{.layers = {1, 2}, .pooling = cls, .fusion = Fusion::kMean, .dimensions = 32}}},
      {"outputs { layers: [1, 2] fusion: FUSION_WEIGHTED_SUM weights: [0.5, -2] }",
       Model(),
       {{.layers = {1, 2}, .pooling = cls, .fusion = Fusion::kWeightedSum, .weights = {0.5f, -2}}}},
      {"outputs { layers: 1 } outputs { layers: 2 pooling: POOLING_MAX normalize: false }",
       Model(),
       {{.layers = {1}, .pooling = cls}, {.layers = {2}, .pooling = Pooling::kMax, .normalize = false}}},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(absl::StrCat(test.request, " of ", test.model.max_layer, " layers"));
    const auto task = Convert(absl::StrCat("texts: 'a' ", test.request), test.model);
    ASSERT_TRUE(task.ok()) << task.status();
    ASSERT_EQ(task->outputs.size(), test.outputs.size());
    for (size_t i = 0; i < test.outputs.size(); ++i) ExpectSame(task->outputs[i], test.outputs[i]);
  }
}

TEST(ToTaskTest, TextsPromptsTruncationAndPriority) {
  const auto plain = Convert("texts: ['a', '', 'b']");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_THAT(plain->texts, ElementsAre("a", "", "b"));
  EXPECT_EQ(plain->prompt, "");
  EXPECT_EQ(plain->truncation, Truncation::kNone);
  EXPECT_EQ(plain->priority, Priority::kInteractive);
  EXPECT_EQ(plain->deadline, absl::InfiniteFuture());

  const std::pair<const char*, Truncation> truncations[] = {{"TRUNCATE_UNSPECIFIED", Truncation::kNone},
                                                            {"TRUNCATE_NONE", Truncation::kNone},
                                                            {"TRUNCATE_LEFT", Truncation::kLeft},
                                                            {"TRUNCATE_RIGHT", Truncation::kRight}};
  for (const auto& [name, truncation] : truncations) {
    EXPECT_EQ(Convert(absl::StrCat("texts: '' truncate: ", name))->truncation, truncation) << name;
  }

  ModelInfo with_default = Model();
  with_default.description.default_prompt_name = "passage";
  const std::tuple<const char*, ModelInfo, const char*> prompts[] = {
      {"", Model(), ""},
      {"prompt_name: 'query'", Model(), "query: "},
      {"prompt: 'x '", Model(), "x "},
      {"", with_default, "passage: "},
      {"prompt_name: 'query'", with_default, "query: "},
      {"prompt: ''", with_default, ""},
      {"prompt: 'x '", with_default, "x "},
  };
  for (const auto& [request, model, prompt] : prompts) {
    EXPECT_EQ(Convert(absl::StrCat("texts: 'a' ", request), model)->prompt, prompt) << request;
  }
}

TEST(ToTaskTest, PriorityOfManyTextsIsBulkUnlessNamed) {
  const std::string eight = "texts: ['1', '2', '3', '4', '5', '6', '7', '8'] ", nine = eight + "texts: '9' ";
  const struct {
    std::string request;
    Priority unset, expected;
  } cases[] = {
      {eight, Priority::kInteractive, Priority::kInteractive},
      {eight, Priority::kBulk, Priority::kBulk},
      {nine, Priority::kInteractive, Priority::kBulk},
      {nine + "priority: PRIORITY_INTERACTIVE", Priority::kInteractive, Priority::kInteractive},
      {eight + "priority: PRIORITY_INTERACTIVE", Priority::kBulk, Priority::kInteractive},
      {eight + "priority: PRIORITY_BULK", Priority::kInteractive, Priority::kBulk},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(ToTask(FromText(test.request), {Model(), kLimits, {}}, test.unset)->priority, test.expected)
        << test.request;
  }
}

TEST(ToTaskTest, FingerprintsAreComparedAtTheDeepestLayer) {
  EXPECT_TRUE(Convert("texts: 'a' layer: 2 expected_model_fingerprint: 'f2'").ok());
  EXPECT_TRUE(
      Convert("texts: 'a' outputs { layers: [5, 1] } outputs { layers: 2 } expected_model_fingerprint: 'f5'").ok());
  EXPECT_TRUE(Convert("texts: 'a' expected_model_fingerprint: 'f4'", Model(/*max_layer=*/4)).ok());
}

TEST(ToTaskTest, BadRequests) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto precondition = absl::StatusCode::kFailedPrecondition;
  std::string eleven, outputs65, layers257;
  for (int i = 0; i < 11; ++i) eleven += "texts: 'a' ";
  for (int i = 0; i < 65; ++i) outputs65 += "outputs { layers: 1 } ";
  for (int i = 0; i < 257; ++i) layers257 += "layers: 1 ";
  const struct {
    std::string request;
    ModelInfo model;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {"", Model(), invalid, "texts: expected 1 to 10 texts (EmbedStream takes more, message by message), found 0"},
      {eleven, Model(), invalid, "texts: expected 1 to 10 texts"},
      {absl::StrCat("texts: 'a' texts: '", std::string(101, 'x'), "'"), Model(), invalid,
       "texts[1]: expected at most 100 bytes, found 101"},
      {absl::StrCat("texts: 'a' prompt: '", std::string(101, 'x'), "'"), Model(), invalid,
       "prompt: expected at most 100 bytes, found 101"},
      // Layers.
      {"texts: 'a' layer: 7", Model(), invalid, "layer: expected 0 to 6 or -7 to -1, found 7"},
      {"texts: 'a' layer: 99", Model(), invalid, "layer: expected 0 to 6 or -7 to -1, found 99"},
      {"texts: 'a' layer: -8", Model(), invalid, "layer: expected 0 to 6 or -7 to -1, found -8"},
      {"texts: 'a' layer: 2147483647", Model(), invalid, "found 2147483647"},
      {"texts: 'a' layer: -2147483648", Model(), invalid, "found -2147483648"},
      {"texts: 'a' layer: 5", Model(/*max_layer=*/4), invalid,
       "layer: expected 0 to 4 or -7 to -3 (of 6 layers only these are loaded: --max-layer or --trim-to-selection), "
       "found 5"},
      {"texts: 'a' layer: -1", Model(/*max_layer=*/4), invalid, "layer: expected 0 to 4 or -7 to -3"},
      {"texts: 'a' layer: -2", Model(/*max_layer=*/4), invalid, "found -2"},
      {"texts: 'a' outputs {} outputs { layers: [0, 7] }", Model(), invalid, "outputs[1].layers: expected 0 to 6"},
      {absl::StrCat("texts: 'a' outputs { ", layers257, "}"), Model(), invalid,
       "outputs[0].layers: expected at most 256, found 257"},
      // Numbers that no enum has.
      {"texts: 'a' pooling: 99", Model(), invalid, "pooling: expected a Pooling, found 99"},
      {"texts: 'a' state: 99", Model(), invalid, "state: expected a State, found 99"},
      {"texts: 'a' format: 99", Model(), invalid, "format: expected a VectorFormat, found 99"},
      {"texts: 'a' truncate: 99", Model(), invalid, "truncate: expected a Truncate, found 99"},
      {"texts: 'a' priority: 99", Model(), invalid, "priority: expected a Priority, found 99"},
      {"texts: 'a' pooling: POOLING_TRAINED_LAST", Model(), invalid,
       "pooling: expected a pooling of this server, whose trained head (--pooling-head) is for none, found "
       "trained_last"},
      {"texts: 'a' pooling: POOLING_TRAINED_LAST", TrainedModel(), invalid, "is for trained_multi, found trained_last"},
      {"texts: 'a' layer: 0 pooling: POOLING_TRAINED_MULTI", TrainedModel(), invalid,
       "layer: expected 1 or more with a trained pooling, found 0"},
      {"texts: 'a' outputs { layers: [3, 0] pooling: POOLING_TRAINED_MULTI }", TrainedModel(), invalid,
       "outputs[0].layer: expected 1 or more with a trained pooling, found 0"},
      {"texts: 'a' state: STATE_NORMED pooling: POOLING_TRAINED_MULTI", TrainedModel(), invalid,
       "state: expected STATE_RAW with a trained pooling, found STATE_NORMED"},
      {"texts: 'a' outputs { pooling: -1 }", Model(), invalid, "outputs[0].pooling: expected a Pooling, found -1"},
      {"texts: 'a' outputs { state: 3 }", Model(), invalid, "outputs[0].state: expected a State, found 3"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: 9 }", Model(), invalid,
       "outputs[0].fusion: expected a Fusion, found 9"},
      // Dimensions.
      {"texts: 'a' layer: 1 dimensions: 33", Model(), invalid, "dimensions: expected at most 32, found 33"},
      {"texts: 'a' layer: 1 dimensions: 4294967295", Model(), invalid, "found 4294967295"},
      {"texts: 'a' dimensions: 17", Model(), invalid, "dimensions: expected at most 16, found 17"},
      {"texts: 'a' outputs { layers: [1, 2] dimensions: 65 }", Model(), invalid,
       "outputs[0].dimensions: expected at most 64, found 65"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_MEAN dimensions: 33 }", Model(), invalid,
       "outputs[0].dimensions: expected at most 32, found 33"},
      // Both forms.
      {"texts: 'a' layer: 1 outputs {}", Model(), invalid,
       "outputs: expected layer, pooling, state, normalize and dimensions unset beside them, found one of these set"},
      {"texts: 'a' layer: 0 outputs {}", Model(), invalid, "outputs: expected layer, pooling"},
      {"texts: 'a' pooling: POOLING_CLS outputs {}", Model(), invalid, "unset beside them"},
      {"texts: 'a' state: STATE_RAW outputs {}", Model(), invalid, "unset beside them"},
      {"texts: 'a' normalize: false outputs {}", Model(), invalid, "unset beside them"},
      {"texts: 'a' dimensions: 1 outputs {}", Model(), invalid, "unset beside them"},
      {"texts: 'a' " + outputs65, Model(), invalid, "outputs: expected at most 64, found 65"},
      // Fusions.
      {"texts: 'a' outputs { layers: 1 fusion: FUSION_MEAN }", Model(), invalid,
       "outputs[0].fusion: expected two or more layers to fuse, found 1"},
      {"texts: 'a' outputs { fusion: FUSION_CONCAT }", Model(), invalid, "two or more layers to fuse, found 0"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_WEIGHTED_SUM weights: 1 }", Model(), invalid,
       "outputs[0].weights: expected 2 (one a layer, for FUSION_WEIGHTED_SUM only), found 1"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_WEIGHTED_SUM }", Model(), invalid, "found 0"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_MEAN weights: [1, 1] }", Model(), invalid,
       "outputs[0].weights: expected 0"},
      {"texts: 'a' outputs { layers: 1 weights: 1 }", Model(), invalid, "outputs[0].weights: expected 0"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_WEIGHTED_SUM weights: [1, nan] }", Model(), invalid,
       "outputs[0].weights: expected finite numbers, found nan"},
      {"texts: 'a' outputs { layers: [1, 2] fusion: FUSION_WEIGHTED_SUM weights: [-inf, 1] }", Model(), invalid,
       "outputs[0].weights: expected finite numbers, found -inf"},
      // What the model does not have.
      {"texts: 'a' outputs { dense: true }", PlainModel(), invalid,
       "outputs[0].dense: expected false (the model has no Dense modules), found true"},
      {"texts: 'a' prompt_name: 'title'", Model(), invalid,
       "prompt_name: expected one of passage query, found \"title\""},
      {"texts: 'a' prompt_name: ''", Model(), invalid, "prompt_name: expected one of passage query, found \"\""},
      {"texts: 'a' prompt_name: 'query'", PlainModel(), invalid,
       "prompt_name: expected no name (the model has no prompts), found \"query\""},
      {"texts: 'a' expected_selection_id: 'abc'", Model(), precondition,
       "expected_selection_id: expected \"abc\", found none"},
      {"texts: 'a' expected_model_fingerprint: 'f5'", Model(), precondition,
       "expected_model_fingerprint: expected \"f5\", found \"f6\""},
      {"texts: 'a' layer: 1 expected_model_fingerprint: 'f6'", Model(), precondition, "found \"f1\""},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.request.substr(0, 200));
    const absl::Status status = Convert(test.request, test.model).status();
    EXPECT_EQ(status.code(), test.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

// Answers of a stream carry the message in a string of protobuf, which must be UTF-8.
TEST(ToTaskTest, LongNamesAreCutBetweenCharacters) {
  for (size_t ascii = 74; ascii <= 81; ++ascii) {
    v1::EmbedRequest request = FromText("texts: 'a'");
    request.set_prompt_name(std::string(ascii, 'x') + "é👍👍👍");
    const std::string message(ToTask(request, {Model(), kLimits, {}}, Priority::kBulk).status().message());
    EXPECT_TRUE(IsUtf8(message, nullptr)) << ascii << ": " << message;
    EXPECT_THAT(message, AllOf(HasSubstr(std::string(74, 'x')), HasSubstr("…\"")));
  }
}

// Layer 2, normed, under max.
const SelectionInForce& Selected() {
  static const SelectionInForce selection = {.id = "s1", .layer = 2, .pooling = Pooling::kMax, .state = State::kNormed};
  return selection;
}

absl::StatusOr<EmbedTask> ConvertSelected(const std::string& text_format,
                                          const SelectionInForce& selection = Selected(),
                                          const ModelInfo& model = Model()) {
  return ToTask(FromText(text_format), {model, kLimits, selection}, Priority::kInteractive);
}

TEST(ToTaskTest, WithoutALayerTheSelectionIsTakenWithItsPoolingAndState) {
  ExpectSame(ConvertSelected("texts: 'a'")->outputs.at(0),
             {.layers = {2}, .pooling = Pooling::kMax, .state = State::kNormed, .source = LayerSource::kSelection});
  ExpectSame(ConvertSelected("texts: 'a' pooling: POOLING_LAST state: STATE_RAW")->outputs.at(0),
             {.layers = {2}, .pooling = Pooling::kLast, .state = State::kRaw, .source = LayerSource::kSelection});
  ExpectSame(ConvertSelected("texts: 'a' layer: 3")->outputs.at(0), {.layers = {3}, .pooling = Pooling::kCls});
  const auto mixed = ConvertSelected("texts: 'a' outputs { layers: 1 } outputs {}");
  EXPECT_THAT(mixed->outputs.at(0).layers, ElementsAre(1));
  EXPECT_THAT(mixed->outputs.at(1).layers, ElementsAre(2));
}

TEST(ToTaskTest, ATrainedPoolingIsOfTheLayersItWasTrainedOnWhateverIsSelected) {
  const char* request = "texts: 'a' pooling: POOLING_TRAINED_MULTI";
  const OutputSpec expected{.layers = {6}, .pooling = Pooling::kTrainedMulti, .source = LayerSource::kDefault};
  ExpectSame(ConvertSelected(request, Selected(), TrainedModel())->outputs.at(0), expected);
  const SelectionInForce unknown{.refusal = absl::UnavailableError("the store is away")};
  ExpectSame(ConvertSelected(request, unknown, TrainedModel())->outputs.at(0), expected);
  ExpectSame(ConvertSelected("texts: 'a'", Selected(), TrainedByDefault())->outputs.at(0),
             {.layers = {2}, .pooling = Pooling::kMax, .state = State::kNormed, .source = LayerSource::kSelection});
}

TEST(ToTaskTest, ATrainedPoolingWithoutALayerNeedsTheLastOne) {
  ModelInfo cut = TrainedByDefault();
  cut.max_layer = 4;
  cut.fingerprints.resize(5);
  for (const char* request : {"texts: 'a'", "texts: 'a' pooling: POOLING_TRAINED_MULTI"}) {
    const absl::Status status = Convert(request, cut).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("layer: expected 0 to 4 or -7 to -3 (of 6 layers only these"));
  }
  ExpectSame(Convert("texts: 'a' layer: 3", cut)->outputs.at(0), {.layers = {3}, .pooling = Pooling::kTrainedMulti});
}

TEST(ToTaskTest, AnExpectedSelectionMustBeTheOneInForce) {
  EXPECT_TRUE(ConvertSelected("texts: 'a' expected_selection_id: 's1'").ok());
  EXPECT_TRUE(ConvertSelected("texts: 'a' layer: 1 expected_selection_id: 's1'").ok());
  const absl::Status status = ConvertSelected("texts: 'a' expected_selection_id: 's2'").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "expected_selection_id: expected \"s2\", found \"s1\"");
}

TEST(ToTaskTest, ASelectionThatCannotBeUsedRefusesOnlyRequestsThatNeedIt) {
  const SelectionInForce unknown{.refusal = absl::UnavailableError("the store is away")};
  EXPECT_EQ(ConvertSelected("texts: 'a'", unknown).status(), unknown.refusal);
  EXPECT_EQ(ConvertSelected("texts: 'a' outputs { layers: 1 } outputs {}", unknown).status(), unknown.refusal);
  EXPECT_TRUE(ConvertSelected("texts: 'a' layer: 3", unknown).ok());
}

TEST(ToResponseTest, EverythingIsFilledIn) {
  EmbedResult result;
  result.texts = {{.vectors = {{1, 2}, {3}}, .tokens = 5, .truncated = false},
                  {.vectors = {{4, 5}, {6}}, .tokens = 64, .truncated = true}};
  result.timing = {absl::Milliseconds(1), absl::Milliseconds(20), absl::Milliseconds(300)};
  const std::vector<OutputSpec> outputs = {
      {.layers = {3, 1}, .pooling = Pooling::kMax, .state = State::kNormed, .fusion = Fusion::kMean},
      {.layers = {2},
       .pooling = Pooling::kWeightedMean,
       .normalize = false,
       .dimensions = 7,
       .dense = true,
       .source = LayerSource::kDefault},
      {.layers = {0, 1}},
  };
  const v1::EmbedResponse response = ToResponse(result, {.outputs = outputs, .selection_id = "s1"}, Model());
  v1::EmbedResponse expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    embeddings { vectors { values: [1, 2] } vectors { values: 3 } tokens: 5 }
    embeddings { vectors { values: [4, 5] } vectors { values: 6 } tokens: 64 truncated: true }
    outputs { layers: [3, 1] pooling: POOLING_MAX state: STATE_NORMED fusion: FUSION_MEAN normalized: true
              dimensions: 32 layer_source: LAYER_SOURCE_REQUEST }
    outputs { layers: 2 pooling: POOLING_WEIGHTED_MEAN state: STATE_RAW dimensions: 7 dense: true
              layer_source: LAYER_SOURCE_DEFAULT }
    outputs { layers: [0, 1] pooling: POOLING_MEAN state: STATE_RAW fusion: FUSION_CONCAT normalized: true
              dimensions: 64 layer_source: LAYER_SOURCE_REQUEST }
    format: VECTOR_FORMAT_FLOAT32
    selection_id: "s1"
    model_fingerprint: "f3"
    timing { tokenize_seconds: 0.001 queue_seconds: 0.02 forward_seconds: 0.3 })",
                                                            &expected));
  EXPECT_EQ(response.DebugString(), expected.DebugString());
  const v1::EmbedResponse binary = ToResponse(result, {outputs, v1::VECTOR_FORMAT_BINARY, ""}, Model());
  EXPECT_EQ(binary.format(), v1::VECTOR_FORMAT_BINARY);
  EXPECT_EQ(binary.embeddings(0).vectors(0).data(), "\xC0");
}

// Field by field: under ThreadSanitizer protobuf's headers lay maps out otherwise than Debian's library, so nothing
// here may reflect on this message.
TEST(DescribeForWireTest, ModelAndLimits) {
  ModelInfo model = Model(/*max_layer=*/4);
  model.description.default_prompt_name = "query";
  const v1::GetModelResponse response = DescribeForWire(model, kLimits);
  EXPECT_EQ(response.name(), "tiny");
  EXPECT_EQ(response.architecture(), "bert");
  EXPECT_EQ(response.layers(), 6);
  EXPECT_EQ(response.attention(), "bidirectional");
  EXPECT_EQ(response.max_layer(), 4);
  EXPECT_EQ(response.hidden_size(), 32);
  EXPECT_EQ(response.max_tokens(), 64);
  EXPECT_EQ(response.default_pooling(), v1::POOLING_CLS);
  EXPECT_FALSE(response.has_final_norm());
  EXPECT_EQ(response.dense_dimensions(), 16);
  EXPECT_EQ(response.prompts().size(), 2u);
  EXPECT_EQ(response.prompts().at("passage"), "passage: ");
  EXPECT_EQ(response.prompts().at("query"), "query: ");
  EXPECT_EQ(response.default_prompt_name(), "query");
  EXPECT_EQ(response.dtype(), "float32");
  EXPECT_EQ(response.device(), "cpu");
  EXPECT_THAT(response.fingerprints(), ElementsAre("f0", "f1", "f2", "f3", "f4"));
  EXPECT_FALSE(response.has_selection());
  EXPECT_EQ(response.max_texts(), 10);
  EXPECT_EQ(response.max_text_bytes(), 100);
  EXPECT_EQ(response.server_version(), kVersion);
  EXPECT_THAT(response.poolings(), ElementsAre(v1::POOLING_CLS, v1::POOLING_MEAN, v1::POOLING_LAST, v1::POOLING_MAX,
                                               v1::POOLING_WEIGHTED_MEAN));
  EXPECT_EQ(DescribeForWire(TrainedModel(), kLimits).poolings(5), v1::POOLING_TRAINED_MULTI);
  model.description.arch.final_norm = true;
  EXPECT_TRUE(DescribeForWire(model, kLimits).has_final_norm());
}

TEST(ToGrpcTest, KeepsCodeAndMessage) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  const std::pair<absl::Status, grpc::StatusCode> cases[] = {
      {absl::InvalidArgumentError("m"), grpc::StatusCode::INVALID_ARGUMENT},
      {absl::FailedPreconditionError("m"), grpc::StatusCode::FAILED_PRECONDITION},
      {absl::ResourceExhaustedError("m"), grpc::StatusCode::RESOURCE_EXHAUSTED},
      {absl::DeadlineExceededError("m"), grpc::StatusCode::DEADLINE_EXCEEDED},
      {absl::CancelledError("m"), grpc::StatusCode::CANCELLED},
      {absl::UnavailableError("m"), grpc::StatusCode::UNAVAILABLE},
      {absl::InternalError("m"), grpc::StatusCode::INTERNAL},
  };
  for (const auto& [status, code] : cases) {
    EXPECT_EQ(ToGrpc(status).error_code(), code) << status;
    EXPECT_EQ(ToGrpc(status).error_message(), "m");
  }
}

TEST(ToGrpcTest, LongMessagesAreCutBetweenCharacters) {
  EXPECT_EQ(ToGrpc(absl::InternalError(std::string(2048, 'x'))).error_message(), std::string(2048, 'x'));
  EXPECT_EQ(ToGrpc(absl::InternalError(std::string(2049, 'x'))).error_message(), std::string(2048, 'x') + "…");
  const std::tuple<size_t, const char*, size_t> cases[] = {
      // So many letters before characters of 2, 3 and 4 bytes, and how many whole ones still fit into 2048 bytes.
      {2046, "é", 1},  {2047, "é", 0},  {2045, "한", 1}, {2046, "한", 0}, {2047, "한", 0},
      {2044, "👍", 1}, {2045, "👍", 0}, {2046, "👍", 0}, {2047, "👍", 0}, {2048, "👍", 0},
  };
  for (const auto& [letters, character, kept] : cases) {
    std::string long_message(letters, 'x'), expected(letters, 'x');
    for (int i = 0; i < 9; ++i) long_message += character;
    for (size_t i = 0; i < kept; ++i) expected += character;
    EXPECT_EQ(ToGrpc(absl::InternalError(long_message)).error_message(), expected + "…") << letters << character;
  }
}

TEST(CodeNameTest, AsGrpcCallsThem) {
  const std::pair<absl::StatusCode, const char*> cases[] = {
      {absl::StatusCode::kOk, "OK"},
      {absl::StatusCode::kCancelled, "CANCELLED"},
      {absl::StatusCode::kUnknown, "UNKNOWN"},
      {absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT"},
      {absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED"},
      {absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED"},
      {absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED"},
      {static_cast<absl::StatusCode>(17), "UNKNOWN"},
      {static_cast<absl::StatusCode>(-1), "UNKNOWN"},
  };
  for (const auto& [code, name] : cases) EXPECT_EQ(CodeName(code), name);
}

}  // namespace
}  // namespace midlayer
