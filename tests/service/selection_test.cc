// SelectionService, and Embed by the selection in force, through real channels.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/service/scoring_calls.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

std::string Scored(int i) { return absl::StrCat("paired_text: 'the small model ", i % 7, "' score: ", i % 5); }

// A selection of task evidence; different seeds of the data give different ids.
v1::Selection ScoreTask(const LiveServer& live, int examples = 20) {
  const ScoreOutcome outcome =
      Score(live, Options("metrics: 'pair_spearman' poolings: POOLING_MAX"), Texts(examples, Scored));
  EXPECT_THAT(outcome.status, IsOk());
  return outcome.report.selection();
}

v1::EmbedRequest Unset() {
  v1::EmbedRequest request;
  request.add_texts("the small model");
  return request;
}

class SelectionTest : public testing::Test {
 protected:
  std::vector<v1::Selection> List(const LiveServer& live) {
    v1::ListSelectionsResponse response;
    EXPECT_THAT(v1::SelectionService::NewStub(live.channel())->ListSelections(NewContext().get(), {}, &response),
                IsOk());
    return {response.selections().begin(), response.selections().end()};
  }
  grpc::Status Get(const LiveServer& live, const std::string& id, v1::GetSelectionResponse* response) {
    v1::GetSelectionRequest request;
    request.set_id(id);
    return v1::SelectionService::NewStub(live.channel())->GetSelection(NewContext().get(), request, response);
  }
  grpc::Status Delete(const LiveServer& live, const std::string& id) {
    v1::DeleteSelectionRequest request;
    request.set_id(id);
    v1::DeleteSelectionResponse response;
    return v1::SelectionService::NewStub(live.channel())->DeleteSelection(NewContext().get(), request, &response);
  }

  v1::PromoteSelectionResponse promoted_;
};

TEST_F(SelectionTest, PromotedItIsWhatEmbedUsesWithoutALayer) {
  LiveServer live;
  const v1::Selection selection = ScoreTask(live);
  EXPECT_EQ(live.Embed(Unset()).response.outputs(0).layer_source(), v1::LAYER_SOURCE_DEFAULT);
  ASSERT_THAT(Promote(live, selection.id(), &promoted_), IsOk());
  EXPECT_EQ(promoted_.previous_id(), "");
  EXPECT_TRUE(promoted_.selection().promoted());
  const v1::EmbedResponse response = live.Embed(Unset()).response;
  EXPECT_EQ(response.selection_id(), selection.id());
  EXPECT_EQ(response.outputs(0).layer_source(), v1::LAYER_SOURCE_SELECTION);
  EXPECT_EQ(response.outputs(0).layers(0), selection.layer());
  EXPECT_EQ(response.outputs(0).pooling(), v1::POOLING_MAX);
  v1::EmbedRequest named = Unset();
  named.set_layer(selection.layer());
  named.set_pooling(v1::POOLING_MAX);
  EXPECT_EQ(Values(response.embeddings(0).vectors(0)), Values(live.Embed(named).response.embeddings(0).vectors(0)));
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_EQ(model.selection().id(), selection.id());
  EXPECT_EQ(live.Metric("midlayer_selection_info", {{"id", selection.id()}}), 1);
  EXPECT_EQ(live.Metric("midlayer_selection_switches_total"), 1);
  EXPECT_EQ(live.Metric("midlayer_selection_store_up"), 1);
  ASSERT_THAT(Promote(live, "", &promoted_), IsOk());
  EXPECT_EQ(promoted_.previous_id(), selection.id());
  EXPECT_EQ(live.Embed(Unset()).response.selection_id(), "");
}

TEST_F(SelectionTest, AClientCanPinWhatItExpects) {
  LiveServer live;
  const v1::Selection selection = ScoreTask(live);
  v1::EmbedRequest pinned = Unset();
  pinned.set_expected_selection_id(selection.id());
  EXPECT_THAT(live.Embed(pinned).status, IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("found none")));
  ASSERT_THAT(Promote(live, selection.id(), &promoted_), IsOk());
  EXPECT_THAT(live.Embed(pinned).status, IsOk());
  const v1::Selection other = ScoreTask(live, 21);
  ASSERT_THAT(Promote(live, other.id(), &promoted_), IsOk());
  EXPECT_THAT(live.Embed(pinned).status, IsStatus(StatusCode::FAILED_PRECONDITION,
                                                  testing::AllOf(HasSubstr(selection.id()), HasSubstr(other.id()))));
}

TEST_F(SelectionTest, PromotionIsCompareAndSet) {
  LiveServer live;
  const std::string a = ScoreTask(live).id(), b = ScoreTask(live, 21).id();
  ASSERT_THAT(Promote(live, a, &promoted_, "expected_current_id: ''"), IsOk());
  EXPECT_THAT(Promote(live, b, &promoted_, "expected_current_id: ''"),
              IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr(a)));
  ASSERT_THAT(Promote(live, b, &promoted_, absl::StrCat("expected_current_id: '", a, "'")), IsOk());
  EXPECT_EQ(promoted_.previous_id(), a);
}

TEST_F(SelectionTest, SpectraAloneAreRefusedUnlessForced) {
  LiveServer live;
  const auto options = Options("metrics: 'unlabelled'");
  const ScoreOutcome outcome = Score(live, options, Texts(20));
  ASSERT_THAT(outcome.status, IsOk());
  const std::string id = outcome.report.selection().id();
  EXPECT_EQ(outcome.report.selection().evidence(), v1::EVIDENCE_SPECTRAL);
  EXPECT_THAT(Promote(live, id, &promoted_), IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("spectra alone")));
  EXPECT_THAT(Score(live, Options("metrics: 'unlabelled' promote: true"), Texts(20)).status,
              IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("spectra alone")));
  EXPECT_EQ(live.Embed(Unset()).response.selection_id(), "");
  EXPECT_THAT(Promote(live, id, &promoted_, "force: true"), IsOk());
  EXPECT_EQ(live.Embed(Unset()).response.selection_id(), id);
}

TEST_F(SelectionTest, ScoringCanPromoteAtOnce) {
  LiveServer live;
  const ScoreOutcome outcome = Score(live, Options("metrics: 'pair_spearman' promote: true"), Texts(20, Scored));
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_TRUE(outcome.report.selection().promoted());
  EXPECT_EQ(live.Embed(Unset()).response.selection_id(), outcome.report.selection().id());
}

TEST_F(SelectionTest, ListsShowsAndDeletes) {
  LiveServer live;
  const v1::Selection a = ScoreTask(live), b = ScoreTask(live, 21);
  ASSERT_THAT(Promote(live, b.id(), &promoted_), IsOk());
  ASSERT_EQ(List(live).size(), 2u);
  for (const v1::Selection& selection : List(live)) EXPECT_EQ(selection.promoted(), selection.id() == b.id());
  v1::GetSelectionResponse got;
  ASSERT_THAT(Get(live, a.id(), &got), IsOk());
  EXPECT_EQ(got.selection().layer(), a.layer());
  EXPECT_NE(CurveOf(got.report(), "pair_spearman"), nullptr);
  EXPECT_THAT(Delete(live, b.id()), IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr(b.id())));
  EXPECT_THAT(Delete(live, a.id()), IsOk());
  const std::string nobody(64, '0');
  for (const std::string& id : {a.id(), nobody}) {
    EXPECT_THAT(Get(live, id, &got), IsStatus(StatusCode::NOT_FOUND, HasSubstr(id)));
    EXPECT_THAT(Delete(live, id), IsStatus(StatusCode::NOT_FOUND, HasSubstr(id)));
    EXPECT_THAT(Promote(live, id, &promoted_), IsStatus(StatusCode::NOT_FOUND, HasSubstr(id)));
  }
  EXPECT_EQ(Promote(live, "abc", &promoted_).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(SelectionTest, ServersThatShareAStoreAnswerWithTheSameLayer) {
  const TempDir temporary;
  const std::filesystem::path directory = temporary.path() / "store";
  const LiveServer::Options options{.selection_store = "file:" + directory.string()};
  std::string id;
  {
    LiveServer a(options), b(options), shallow({.max_layer = 3, .selection_store = options.selection_store});
    id = ScoreTask(a).id();
    ASSERT_THAT(Promote(a, id, &promoted_), IsOk());
    for (const LiveServer* other : {&b, &shallow}) {
      EXPECT_TRUE(Eventually([&] { return other->Embed(Unset()).response.selection_id() == id; }));
      EXPECT_EQ(other->Embed(Unset()).response.outputs(0).layers(0), a.Embed(Unset()).response.outputs(0).layers(0));
    }
  }
  LiveServer restarted(options);
  EXPECT_EQ(restarted.Embed(Unset()).response.selection_id(), id) << "from the first request on";
}

TEST_F(SelectionTest, ASelectionOfALayerThatIsNotLoadedIsNotUsed) {
  const TempDir temporary;
  const std::filesystem::path directory = temporary.path() / "store";
  const std::string store = "file:" + directory.string();
  LiveServer full({.selection_store = store});
  const ScoreOutcome outcome =
      Score(full, Options("metrics: 'prompt_entropy' criterion: 'prompt_entropy:max'"), Texts(20));
  const ScoreOutcome least =
      Score(full, Options("metrics: 'prompt_entropy' criterion: 'prompt_entropy:min'"), Texts(20));
  const v1::Selection& deep = outcome.report.selection().layer() > least.report.selection().layer()
                                  ? outcome.report.selection()
                                  : least.report.selection();
  ASSERT_GT(deep.layer(), 0);
  ASSERT_THAT(Promote(full, deep.id(), &promoted_, "force: true"), IsOk());
  LiveServer cut({.max_layer = 0, .selection_store = store});
  EXPECT_THAT(cut.Embed(Unset()).status,
              IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("layer: expected a number")));
  EXPECT_THAT(cut.Embed(MeanOf(0, {"x"})).status, IsOk());
  EXPECT_THAT(Promote(cut, deep.id(), &promoted_, "force: true"),
              IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("expected a layer that is loaded")));
}

TEST_F(SelectionTest, AServerThatKeepsNoneScoresAndAnswersWithTheLastLayer) {
  LiveServer live({.selection_store = "none"});
  const v1::Selection selection = ScoreTask(live);
  EXPECT_FALSE(selection.id().empty());
  EXPECT_TRUE(List(live).empty());
  for (const char* refused : {"store: true", "promote: true"}) {
    const ScoreOutcome outcome = Score(live, Options(refused), Texts(20, Scored));
    EXPECT_THAT(outcome.status,
                IsStatus(StatusCode::FAILED_PRECONDITION, HasSubstr("expected false on a server that keeps no")));
  }
  v1::GetSelectionResponse got;
  for (const grpc::Status& status :
       {Promote(live, selection.id(), &promoted_), Get(live, selection.id(), &got), Delete(live, selection.id())}) {
    EXPECT_THAT(status, IsStatus(StatusCode::NOT_FOUND, HasSubstr("keeps no selections (--selection-store none)")));
  }
  const v1::EmbedResponse answer = live.Embed(Unset()).response;
  EXPECT_EQ(answer.outputs(0).layer_source(), v1::LAYER_SOURCE_DEFAULT);
  EXPECT_EQ(answer.outputs(0).layers(0), 3);
}

TEST_F(SelectionTest, WithoutAStoreOnlyRequestsThatNameALayerAreAnsweredWhereItIsRequired) {
  const std::string nowhere = "redis://127.0.0.1:1/0";
  LiveServer required({.selection_store = nowhere});
  EXPECT_THAT(required.Embed(Unset()).status, IsStatus(StatusCode::UNAVAILABLE, HasSubstr("127.0.0.1:1")));
  EXPECT_THAT(required.Embed(MeanOf(1, {"x"})).status, IsOk());
  EXPECT_EQ(required.Metric("midlayer_selection_store_up"), 0);
  EXPECT_EQ(Promote(required, std::string(64, '0'), &promoted_).error_code(), StatusCode::UNAVAILABLE);
  LiveServer optional({.selection_store = nowhere, .selections = {.required = false}});
  EXPECT_THAT(optional.Embed(Unset()).status, IsOk());
}

}  // namespace
}  // namespace midlayer
