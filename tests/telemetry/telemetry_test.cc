#include "server/telemetry/telemetry.h"

#include <prometheus/text_serializer.h>

#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using Series = std::map<std::string, double>;

std::string Text(const Telemetry& telemetry) {
  return prometheus::TextSerializer().Serialize(telemetry.registry()->Collect());
}

// What Prometheus would read: name and labels, as in the text, to value.
Series Scrape(const Telemetry& telemetry) {
  Series series;
  std::istringstream lines(Text(telemetry));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    EXPECT_TRUE(series.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second) << line;
  }
  return series;
}

void ExpectSeries(const Telemetry& telemetry, const Series& expected) {
  const Series found = Scrape(telemetry);
  for (const auto& [name, value] : expected) {
    const auto it = found.find(name);
    if (it == found.end()) {
      ADD_FAILURE() << "no series " << name << " in\n" << Text(telemetry);
    } else {
      EXPECT_DOUBLE_EQ(it->second, value) << name;
    }
  }
}

TEST(TelemetryTest, CallsByMethodAndCode) {
  Telemetry telemetry;
  telemetry.RequestEnded("Embed", "OK", 0.003);
  telemetry.RequestEnded("Embed", "OK", 0.2);
  telemetry.RequestEnded("Embed", "INVALID_ARGUMENT", 0.0001);
  telemetry.RequestEnded("GetModel", "OK", 100);
  ExpectSeries(telemetry, {{R"(midlayer_requests_total{code="OK",method="Embed"})", 2},
                           {R"(midlayer_requests_total{code="INVALID_ARGUMENT",method="Embed"})", 1},
                           {R"(midlayer_requests_total{code="OK",method="GetModel"})", 1},
                           {R"(midlayer_request_duration_seconds_count{code="OK",method="Embed"})", 2},
                           {R"(midlayer_request_duration_seconds_sum{code="OK",method="Embed"})", 0.203},
                           {R"(midlayer_request_duration_seconds_bucket{code="OK",method="Embed",le="0.0025"})", 0},
                           {R"(midlayer_request_duration_seconds_bucket{code="OK",method="Embed",le="0.005"})", 1},
                           {R"(midlayer_request_duration_seconds_bucket{code="OK",method="Embed",le="0.25"})", 2},
                           {R"(midlayer_request_duration_seconds_bucket{code="OK",method="GetModel",le="60"})", 0},
                           {R"(midlayer_request_duration_seconds_bucket{code="OK",method="GetModel",le="+Inf"})", 1},
                           {R"(midlayer_request_duration_seconds_count{code="INVALID_ARGUMENT",method="Embed"})", 1}});
}

TEST(TelemetryTest, EmbeddingsByLayerAndPooling) {
  Telemetry telemetry;
  telemetry.Embedded(6, "mean", 0.5);
  telemetry.Embedded(6, "mean", 0.25);
  telemetry.Embedded(0, "weighted_mean", 1);
  ExpectSeries(telemetry, {{R"(midlayer_embed_duration_seconds_count{layer="6",pooling="mean"})", 2},
                           {R"(midlayer_embed_duration_seconds_sum{layer="6",pooling="mean"})", 0.75},
                           {R"(midlayer_embed_duration_seconds_count{layer="0",pooling="weighted_mean"})", 1}});
}

TEST(TelemetryTest, Refusals) {
  Telemetry telemetry;
  for (const char* reason : {"queue_full", "invalid", "queue_full", "deadline"}) telemetry.Rejected(reason);
  ExpectSeries(telemetry, {{R"(midlayer_rejected_total{reason="queue_full"})", 2},
                           {R"(midlayer_rejected_total{reason="invalid"})", 1},
                           {R"(midlayer_rejected_total{reason="deadline"})", 1}});
}

TEST(TelemetryTest, StagesAndLayers) {
  Telemetry telemetry;
  ExpectSeries(telemetry, {{R"(midlayer_stage_duration_seconds_count{stage="tokenize"})", 0}});
  telemetry.StageTook(Telemetry::Stage::kTokenize, 1);
  telemetry.StageTook(Telemetry::Stage::kQueueInteractive, 2);
  telemetry.StageTook(Telemetry::Stage::kQueueBulk, 5);
  telemetry.StageTook(Telemetry::Stage::kForward, 3);
  telemetry.StageTook(Telemetry::Stage::kForward, 3);
  telemetry.StageTook(Telemetry::Stage::kPool, 4);
  telemetry.LayerTook(0, 0.00007);
  telemetry.LayerTook(11, 0.5);
  ExpectSeries(telemetry, {{R"(midlayer_stage_duration_seconds_sum{stage="tokenize"})", 1},
                           {R"(midlayer_stage_duration_seconds_sum{priority="interactive",stage="queue"})", 2},
                           {R"(midlayer_stage_duration_seconds_sum{priority="bulk",stage="queue"})", 5},
                           {R"(midlayer_stage_duration_seconds_sum{stage="forward"})", 6},
                           {R"(midlayer_stage_duration_seconds_count{stage="forward"})", 2},
                           {R"(midlayer_stage_duration_seconds_sum{stage="pool"})", 4},
                           {R"(midlayer_layer_forward_seconds_count{layer="0"})", 1},
                           {R"(midlayer_layer_forward_seconds_sum{layer="11"})", 0.5}});
}

TEST(TelemetryTest, BatchesAndQueue) {
  Telemetry telemetry;
  telemetry.BatchRan(3, 100);
  telemetry.BatchRan(5000, 70000);
  telemetry.BatchSplit("out_of_memory");
  telemetry.QueueIs(9, 800);
  telemetry.QueueIs(2, 30);
  telemetry.LimitsAre(512, 4096);
  telemetry.WaitingTextsAre(8);
  telemetry.WaitingTextsAre(5);
  telemetry.CacheLookedUp(true);
  telemetry.CacheLookedUp(true);
  telemetry.CacheLookedUp(false);
  telemetry.CacheHolds(7);
  ExpectSeries(telemetry, {{"midlayer_texts_total", 5003},
                           {"midlayer_tokens_total", 70100},
                           {"midlayer_batch_rows_count", 2},
                           {"midlayer_batch_rows_sum", 5003},
                           {R"(midlayer_batch_rows_bucket{le="2"})", 0},
                           {R"(midlayer_batch_rows_bucket{le="4"})", 1},
                           {R"(midlayer_batch_rows_bucket{le="4096"})", 1},
                           {R"(midlayer_batch_rows_bucket{le="+Inf"})", 2},
                           {"midlayer_batch_tokens_sum", 70100},
                           {R"(midlayer_batch_tokens_bucket{le="64"})", 0},
                           {R"(midlayer_batch_tokens_bucket{le="128"})", 1},
                           {R"(midlayer_batch_splits_total{reason="out_of_memory"})", 1},
                           {"midlayer_queue_texts", 2},
                           {"midlayer_queue_tokens", 30},
                           {"midlayer_waiting_texts", 5},
                           {"midlayer_waiting_texts_limit", 4096},
                           {"midlayer_batch_tokens_limit", 512},
                           {R"(midlayer_cache_lookups_total{result="hit"})", 2},
                           {R"(midlayer_cache_lookups_total{result="miss"})", 1},
                           {"midlayer_cache_vectors", 7}});
}

TEST(TelemetryTest, ModelAndBuild) {
  Telemetry telemetry;
  telemetry.SetModel({.name = "all-MiniLM",
                      .architecture = "bert",
                      .fingerprint = "0123abcd",
                      .layers = 6,
                      .max_layer = 3,
                      .attention = "bidirectional",
                      .adapters = 2,
                      .dtype = "float32",
                      .device = "cuda:0"});
  ExpectSeries(
      telemetry,
      {{R"(midlayer_model_info{adapters="2",architecture="bert",attention="bidirectional",device="cuda:0",dtype="float32",fingerprint="0123abcd",layers="6",max_layer="3",name="all-MiniLM"})",
        1}});
  EXPECT_THAT(Text(telemetry), testing::ContainsRegex("midlayer_build_info\\{version=\"[0-9.]+\"\\} 1"));
}

// Names of directories come from outside.
TEST(TelemetryTest, LabelsAreEscaped) {
  Telemetry telemetry;
  telemetry.SetModel({.name = "a\"b\\c\nd"});
  EXPECT_THAT(Text(telemetry), testing::HasSubstr(R"(name="a\"b\\c\nd")"));
}

// Whoever renames a series breaks dashboards: the list is here once more.
TEST(TelemetryTest, EverySeriesHasItsNameTypeAndHelp) {
  Telemetry telemetry;
  telemetry.SetModel({.name = "m"});
  telemetry.RequestEnded("Embed", "OK", 1);
  telemetry.Embedded(1, "mean", 1);
  telemetry.Rejected("queue_full");
  telemetry.LayerTook(1, 1);
  telemetry.BatchSplit("error");
  telemetry.CacheLookedUp(true);
  telemetry.ScoreBegan();
  telemetry.ScoreStageTook("forward", 1);
  telemetry.ScoreEnded("OK");
  telemetry.SelectionIs({.id = "s", .layer = 1, .pooling = "mean", .metric = "knn_accuracy", .curve = {1}});
  const std::map<std::string, std::string> expected = {
      {"midlayer_score_runs_total", "counter"},
      {"midlayer_score_stage_seconds_total", "counter"},
      {"midlayer_score_running", "gauge"},
      {"midlayer_score_progress_ratio", "gauge"},
      {"midlayer_selection_store_up", "gauge"},
      {"midlayer_selection_switches_total", "counter"},
      {"midlayer_selection_info", "gauge"},
      {"midlayer_selection_score", "gauge"},
      {"midlayer_requests_total", "counter"},
      {"midlayer_request_duration_seconds", "histogram"},
      {"midlayer_embed_duration_seconds", "histogram"},
      {"midlayer_rejected_total", "counter"},
      {"midlayer_stage_duration_seconds", "histogram"},
      {"midlayer_layer_forward_seconds", "histogram"},
      {"midlayer_batch_rows", "histogram"},
      {"midlayer_batch_tokens", "histogram"},
      {"midlayer_batch_splits_total", "counter"},
      {"midlayer_texts_total", "counter"},
      {"midlayer_tokens_total", "counter"},
      {"midlayer_queue_texts", "gauge"},
      {"midlayer_queue_tokens", "gauge"},
      {"midlayer_waiting_texts", "gauge"},
      {"midlayer_waiting_texts_limit", "gauge"},
      {"midlayer_batch_tokens_limit", "gauge"},
      {"midlayer_serving", "gauge"},
      {"midlayer_cache_lookups_total", "counter"},
      {"midlayer_cache_vectors", "gauge"},
      {"midlayer_model_info", "gauge"},
      {"midlayer_build_info", "gauge"},
  };
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> helps;
  std::istringstream lines(Text(telemetry));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, rest;
    words >> hash >> kind >> name;
    if (hash != "#") continue;
    std::getline(words >> std::ws, rest);
    (kind == "TYPE" ? types : helps)[name] = rest;
  }
  EXPECT_EQ(types, expected);
  for (const auto& [name, type] : expected) EXPECT_FALSE(helps[name].empty()) << name;
}

TEST(TelemetryTest, TheSelectionInForceReplacesTheOneBefore) {
  Telemetry telemetry;
  telemetry.SelectionIs({});
  ExpectSeries(telemetry, {{"midlayer_selection_switches_total", 0}});
  telemetry.SelectionIs({.id = "a", .layer = 1, .pooling = "mean", .metric = "knn_accuracy", .curve = {0.5, 0.7}});
  telemetry.SelectionIs({.id = "b", .layer = 0, .pooling = "cls", .metric = "pair_spearman", .curve = {0.25}});
  telemetry.SelectionIs({.id = "b"});  // told again
  ExpectSeries(telemetry, {{"midlayer_selection_switches_total", 2},
                           {R"(midlayer_selection_info{id="b",layer="0",metric="pair_spearman",pooling="cls"})", 1},
                           {R"(midlayer_selection_score{layer="0",metric="pair_spearman"})", 0.25}});
  EXPECT_THAT(Text(telemetry), testing::Not(testing::HasSubstr("knn_accuracy")));
  telemetry.SelectionIs({});
  EXPECT_THAT(Text(telemetry), testing::Not(testing::HasSubstr("midlayer_selection_info{")));
}

TEST(TelemetryTest, CountsFromManyThreadsAddUp) {
  Telemetry telemetry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&telemetry, t] {
      for (int i = 0; i < 500; ++i) {
        telemetry.RequestEnded("Embed", i % 2 == 0 ? "OK" : "CANCELLED", 1);
        telemetry.Embedded(t, "mean", 1);
        telemetry.BatchRan(1, 10);
        telemetry.LayerTook(i % 3, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectSeries(telemetry, {{R"(midlayer_requests_total{code="OK",method="Embed"})", 1000},
                           {R"(midlayer_requests_total{code="CANCELLED",method="Embed"})", 1000},
                           {R"(midlayer_embed_duration_seconds_count{layer="3",pooling="mean"})", 500},
                           {"midlayer_tokens_total", 20000},
                           {R"(midlayer_layer_forward_seconds_count{layer="1"})", 668}});
}

}  // namespace
}  // namespace midlayer
