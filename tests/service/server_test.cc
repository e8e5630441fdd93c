// The model, health, reflection, counters and the end, through a real channel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"
#include "server/base/version.h"
#include "tests/service/calls.h"

namespace midlayer {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr float kTolerance = 1e-4F;  // to transformers, float32, absolute

TEST(GetModelTest, TellsTheModelAndTheLimits) {
  LiveServer live(
      {.limits = {.max_texts = 7, .max_text_bytes = 77, .max_message_bytes = 777, .max_waiting_texts = 7777}});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_EQ(model.name(), "bert");
  EXPECT_EQ(model.architecture(), "bert");
  EXPECT_EQ(model.layers(), 3);
  EXPECT_EQ(model.max_layer(), 3);
  EXPECT_EQ(model.hidden_size(), 32);
  EXPECT_EQ(model.max_tokens(), 66);
  EXPECT_EQ(model.default_pooling(), v1::POOLING_MEAN);
  EXPECT_FALSE(model.has_final_norm());
  EXPECT_EQ(model.dense_dimensions(), 0);
  EXPECT_EQ(model.prompts_size(), 0);
  EXPECT_EQ(model.default_prompt_name(), "");
  EXPECT_EQ(model.dtype(), "float32");
  EXPECT_EQ(model.device(), "cpu");
  EXPECT_FALSE(model.has_selection());
  EXPECT_EQ(model.max_texts(), 7);
  EXPECT_EQ(model.max_text_bytes(), 77);
  EXPECT_EQ(model.max_message_bytes(), 777);
  EXPECT_EQ(model.max_waiting_texts(), 7777);
  EXPECT_EQ(model.max_outputs(), 64);
  EXPECT_EQ(model.server_version(), kVersion);
  EXPECT_EQ(std::vector<std::string>(model.fingerprints().begin(), model.fingerprints().end()),
            live.info().fingerprints);
  for (const std::string& fingerprint : model.fingerprints()) {
    EXPECT_THAT(fingerprint, testing::MatchesRegex("[0-9a-f]{64}"));
  }
}

TEST(GetModelTest, TellsWhatSentenceTransformersAdds) {
  LiveServer live({.model = "sentence"});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_EQ(model.max_tokens(), 24);
  EXPECT_EQ(model.default_pooling(), v1::POOLING_WEIGHTED_MEAN);
  EXPECT_EQ(model.dense_dimensions(), 16);
  EXPECT_THAT(model.prompts(), testing::SizeIs(2));
  EXPECT_EQ(model.prompts().at("query"), "query: ");
}

TEST(GetModelTest, TellsTheFinalNorm) {
  LiveServer live({.model = "roberta_prelayernorm"});
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  EXPECT_TRUE(model.has_final_norm());
}

TEST(GetModelTest, AServerOfFewerLayersHasTheSameFingerprintsAndVectors) {
  LiveServer full, cut({.max_layer = 1});
  v1::GetModelResponse of_full, of_cut;
  ASSERT_THAT(full.stub().GetModel(NewContext().get(), {}, &of_full), IsOk());
  ASSERT_THAT(cut.stub().GetModel(NewContext().get(), {}, &of_cut), IsOk());
  EXPECT_EQ(of_cut.layers(), 3);
  EXPECT_EQ(of_cut.max_layer(), 1);
  EXPECT_THAT(of_cut.fingerprints(), ElementsAre(of_full.fingerprints(0), of_full.fingerprints(1)));
  const Outcome a = full.Embed(MeanOf(1, GoldenTexts())), b = cut.Embed(MeanOf(-3, GoldenTexts()));
  ASSERT_THAT(b.status, IsOk());
  EXPECT_EQ(a.response.model_fingerprint(), b.response.model_fingerprint());
  EXPECT_EQ(Values(a.response.embeddings(1).vectors(0)), Values(b.response.embeddings(1).vectors(0)));
}

grpc::health::v1::HealthCheckResponse::ServingStatus HealthOf(const LiveServer& live, const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(live.channel())->Check(NewContext().get(), request, &response);
  if (status.error_code() == StatusCode::NOT_FOUND) return grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN;
  EXPECT_THAT(status, IsOk());
  return response.status();
}

TEST(ServerTest, WhoCouldNeverReadItsStoreIsAliveAndNotReady) {
  using Response = grpc::health::v1::HealthCheckResponse;
  const std::string nowhere = "redis://127.0.0.1:1/0";
  LiveServer required({.selection_store = nowhere});
  EXPECT_EQ(HealthOf(required, ""), Response::SERVING);
  EXPECT_EQ(HealthOf(required, "midlayer.v1.EmbeddingService"), Response::NOT_SERVING);
  EXPECT_EQ(required.Metric("midlayer_serving"), 0);
  LiveServer optional({.selection_store = nowhere, .selections = {.required = false}});
  EXPECT_EQ(HealthOf(optional, "midlayer.v1.EmbeddingService"), Response::SERVING);
  EXPECT_EQ(optional.Metric("midlayer_serving"), 1);
}

TEST(ServerTest, WhoCannotComputeIsNeitherAliveNorReadyAndWhoEndsIsAlive) {
  using Response = grpc::health::v1::HealthCheckResponse;
  LiveServer live;
  const absl::Status lost = absl::InternalError("the device is lost");
  live.server().SetHealth(lost);
  EXPECT_EQ(live.server().health(), lost);
  EXPECT_EQ(live.server().readiness(), lost);
  EXPECT_EQ(HealthOf(live, ""), Response::NOT_SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.EmbeddingService"), Response::NOT_SERVING);
  live.server().SetHealth(absl::OkStatus());
  EXPECT_EQ(HealthOf(live, "midlayer.v1.EmbeddingService"), Response::SERVING);
  live.server().StopBeingHealthy();
  EXPECT_TRUE(live.server().health().ok());
  EXPECT_FALSE(live.server().readiness().ok());
  EXPECT_EQ(HealthOf(live, ""), Response::NOT_SERVING);
}

TEST(ServerTest, HealthIsToldOverallAndByService) {
  using Response = grpc::health::v1::HealthCheckResponse;
  LiveServer live;
  EXPECT_EQ(HealthOf(live, ""), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.EmbeddingService"), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.ScoringService"), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.SelectionService"), Response::SERVING);
  EXPECT_EQ(HealthOf(live, "midlayer.v1.NoService"), Response::SERVICE_UNKNOWN);
  EXPECT_EQ(live.Metric("midlayer_serving"), 1);
}

// grpcurl and its like see the services and their messages without the .proto files.
TEST(ServerTest, ReflectionListsAndDescribesEveryService) {
  LiveServer live;
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  std::string services;
  ASSERT_THAT(SendRaw(live, method, std::string("\x3A\x00", 2), &services), IsOk());  // list_services
  for (const std::string service : {"midlayer.v1.EmbeddingService", "midlayer.v1.ScoringService",
                                    "midlayer.v1.SelectionService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, HasSubstr(service));
    std::string file;
    const std::string asked = absl::StrCat("\x22", std::string(1, static_cast<char>(service.size())), service);
    ASSERT_THAT(SendRaw(live, method, asked, &file), IsOk());  // file_containing_symbol
    EXPECT_THAT(file, HasSubstr(".proto")) << service;
  }
}

TEST(ServerTest, CountsCallsByMethodAndCode) {
  LiveServer live;
  v1::GetModelResponse model;
  ASSERT_THAT(live.stub().GetModel(NewContext().get(), {}, &model), IsOk());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(live.Embed(MeanOf(2, GoldenTexts())).status, IsOk());
  for (int i = 0; i < 2; ++i) live.Embed(MeanOf(99, {"x"}));
  v1::EmbedRequest pinned = MeanOf(1, {"x"});
  pinned.set_expected_selection_id("none");
  live.Embed(pinned);
  EXPECT_EQ(live.Ended("GetModel", "OK"), 1);
  EXPECT_EQ(live.Ended("Embed", "OK"), 3);
  EXPECT_EQ(live.Ended("Embed", "INVALID_ARGUMENT"), 2);
  EXPECT_EQ(live.Ended("Embed", "FAILED_PRECONDITION"), 1);
  EXPECT_EQ(live.Metric("midlayer_request_duration_seconds", {{"method", "Embed"}}), 6);
  EXPECT_EQ(live.Metric("midlayer_rejected_total", {{"reason", "invalid"}}), 2);
  EXPECT_EQ(live.Metric("midlayer_embed_duration_seconds", {{"layer", "2"}, {"pooling", "mean"}}), 3);
  EXPECT_EQ(live.Metric("midlayer_texts_total"), 18);
  const v1::EmbedResponse response = live.Embed(MeanOf(2, {GoldenTexts()[1]})).response;
  const double before = live.Metric("midlayer_tokens_total");
  ASSERT_THAT(live.Embed(MeanOf(2, {GoldenTexts()[1]})).status, IsOk());
  EXPECT_EQ(live.Metric("midlayer_tokens_total") - before, response.embeddings(0).tokens());
}

TEST(ServerTest, AnAddressInUseIsRefused) {
  LiveServer live;
  Telemetry telemetry;
  const auto second = Server::Start({.listen = live.server().address()}, {.telemetry = &telemetry});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("--listen: expected an address"), HasSubstr(live.server().address())));
}

TEST(ShutdownTest, AnswersWhatIsUnderWayAndRefusesTheRest) {
  LiveServer live;
  // Watches health on a connection of its own, as load balancers do.
  const auto health = grpc::health::v1::Health::NewStub(live.NewChannel());
  const auto watch_context = NewContext();
  const auto watch = health->Watch(watch_context.get(), {});
  grpc::health::v1::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  ASSERT_EQ(seen.status(), grpc::health::v1::HealthCheckResponse::SERVING);

  std::future<Outcome> plug = HoldDevice(live);
  std::future<Outcome> waiting = Start(live, MeanOf(2, {GoldenTexts()[1]}));
  ASSERT_TRUE(Eventually([&] { return live.Tokenized() == 2; }));
  std::future<void> shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Seconds(60)); });
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  // The listener closes a moment after health says so.
  grpc::Status refused;
  ASSERT_TRUE(Eventually([&] {
    v1::GetModelResponse model;
    refused = v1::EmbeddingService::NewStub(live.NewChannel())->GetModel(NewContext().get(), {}, &model);
    return !refused.ok();
  }));
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE) << refused.error_message();
  EXPECT_EQ(live.Embed(MeanOf(1, {"new"})).status.error_code(), StatusCode::UNAVAILABLE);
  live.gate().Open();
  EXPECT_THAT(plug.get().status, IsOk());
  const Outcome answered = waiting.get();
  ASSERT_THAT(answered.status, IsOk());
  EXPECT_THAT(Values(answered.response.embeddings(0).vectors(0)),
              Pointwise(FloatNear(kTolerance), GoldenRow("bert", "pooled.raw.mean.2", 1)));
  EXPECT_FALSE(live.gate().Saw("new"));
  watch_context->TryCancel();
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

// Load balancers watch health for as long as they live.
TEST(ShutdownTest, WhoWatchesHealthDoesNotKeepTheServerFromEnding) {
  LiveServer live;
  const auto health = grpc::health::v1::Health::NewStub(live.NewChannel());
  const auto context = NewContext();
  const auto watch = health->Watch(context.get(), {});
  grpc::health::v1::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  auto shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Seconds(30)); });
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  context->TryCancel();
}

TEST(ShutdownTest, CallsThatOutlastTheDrainAreCancelled) {
  LiveServer live;
  std::future<Outcome> plug = HoldDevice(live);
  std::future<void> shutdown = std::async(std::launch::async, [&] { live.server().Shutdown(absl::Milliseconds(100)); });
  EXPECT_FALSE(plug.get().status.ok());  // while the device is still held
  live.gate().Open();
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace midlayer
