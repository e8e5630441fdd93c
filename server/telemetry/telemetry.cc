#include "server/telemetry/telemetry.h"

#include "server/base/version.h"

namespace midlayer {

namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

// 0.5 ms … 60 s.
const Buckets& SecondsBuckets() {
  static const Buckets buckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                  0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
  return buckets;
}

// A block of a small model takes microseconds: 50 µs … 10 s.
const Buckets& LayerBuckets() {
  static const Buckets buckets = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                  0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};
  return buckets;
}

// Powers of two up to `last`.
Buckets DoublingBuckets(double last) {
  Buckets buckets;
  for (double bound = 1; bound <= last; bound *= 2) buckets.push_back(bound);
  return buckets;
}

}  // namespace

Telemetry::Telemetry()
    : registry_(std::make_shared<prometheus::Registry>()),
      requests_(BuildCounter()
                    .Name("midlayer_requests_total")
                    .Help("Calls (for a stream, its messages) that ended, by method and gRPC code.")
                    .Register(*registry_)),
      request_seconds_(
          BuildHistogram()
              .Name("midlayer_request_duration_seconds")
              .Help("Time from the arrival of a call (of a stream, a message) to its end, by method and gRPC code.")
              .Register(*registry_)),
      embed_seconds_(BuildHistogram()
                         .Name("midlayer_embed_duration_seconds")
                         .Help("Time of answered embedding requests, by deepest layer and pooling of each output.")
                         .Register(*registry_)),
      rejected_(BuildCounter()
                    .Name("midlayer_rejected_total")
                    .Help("Requests refused before any vector was computed, by reason.")
                    .Register(*registry_)),
      layer_seconds_(
          BuildHistogram()
              .Name("midlayer_layer_forward_seconds")
              .Help("Time in each block for one batch; layer 0 is the embeddings. On a GPU one batch of 16 is timed.")
              .Register(*registry_)),
      model_info_(BuildGauge().Name("midlayer_model_info").Help("The model that is served.").Register(*registry_)),
      batch_rows_(BuildHistogram()
                      .Name("midlayer_batch_rows")
                      .Help("Texts of a batch.")
                      .Register(*registry_)
                      .Add({}, DoublingBuckets(4096))),
      batch_tokens_(BuildHistogram()
                        .Name("midlayer_batch_tokens")
                        .Help("Tokens of a batch; there is no padding.")
                        .Register(*registry_)
                        .Add({}, DoublingBuckets(65536))),
      batch_splits_(BuildCounter()
                        .Name("midlayer_batch_splits_total")
                        .Help("Batches that failed and were run again in halves, by reason: out_of_memory (fewer "
                              "--batch-tokens would fit), error.")
                        .Register(*registry_)),
      texts_(BuildCounter()
                 .Name("midlayer_texts_total")
                 .Help("Texts that went through the model, those that check its health included.")
                 .Register(*registry_)
                 .Add({})),
      tokens_(BuildCounter().Name("midlayer_tokens_total").Help("Tokens of them.").Register(*registry_).Add({})),
      queue_rows_(BuildGauge()
                      .Name("midlayer_queue_texts")
                      .Help("Tokenized texts that wait for a batch.")
                      .Register(*registry_)
                      .Add({})),
      queue_tokens_(BuildGauge()
                        .Name("midlayer_queue_tokens")
                        .Help("Tokens that wait for a batch.")
                        .Register(*registry_)
                        .Add({})),
      waiting_texts_(BuildGauge()
                         .Name("midlayer_waiting_texts")
                         .Help("Texts of all requests that have not ended; beyond midlayer_waiting_texts_limit they "
                               "are refused.")
                         .Register(*registry_)
                         .Add({})),
      batch_tokens_limit_(BuildGauge()
                              .Name("midlayer_batch_tokens_limit")
                              .Help("Most tokens of a batch (--batch-tokens); a longer text goes alone.")
                              .Register(*registry_)
                              .Add({})),
      waiting_texts_limit_(BuildGauge()
                               .Name("midlayer_waiting_texts_limit")
                               .Help("Most texts inside the server at once (--max-waiting-texts).")
                               .Register(*registry_)
                               .Add({})),
      cache_lookups_(BuildCounter()
                         .Name("midlayer_cache_lookups_total")
                         .Help("Texts that were looked up in the cache of vectors (--cache-entries), by result: hit "
                               "(not computed again), miss.")
                         .Register(*registry_)),
      cache_vectors_(
          BuildGauge().Name("midlayer_cache_vectors").Help("Vectors in the cache.").Register(*registry_).Add({})),
      score_runs_(BuildCounter()
                      .Name("midlayer_score_runs_total")
                      .Help("Runs of ScoreLayers that ended, by gRPC code.")
                      .Register(*registry_)),
      score_seconds_(
          BuildCounter()
              .Name("midlayer_score_stage_seconds_total")
              .Help("Time of answered scoring runs: forward (the model), accumulate (metrics of single texts, "
                    "beside it), finish (metrics of whole sets).")
              .Register(*registry_)),
      score_running_(
          BuildGauge().Name("midlayer_score_running").Help("Scoring runs under way.").Register(*registry_).Add({})),
      score_progress_(BuildGauge()
                          .Name("midlayer_score_progress_ratio")
                          .Help("How far the passes of the scoring run are that reported last, 0 to 1.")
                          .Register(*registry_)
                          .Add({})),
      store_up_(BuildGauge()
                    .Name("midlayer_selection_store_up")
                    .Help("Whether the last reading of the selection store succeeded.")
                    .Register(*registry_)
                    .Add({})),
      serving_(
          BuildGauge()
              .Name("midlayer_serving")
              .Help("Whether health says SERVING: not while the model does not answer, before the selection store was "
                    "read, and once the server ends.")
              .Register(*registry_)
              .Add({})),
      selection_switches_(BuildCounter()
                              .Name("midlayer_selection_switches_total")
                              .Help("How often the selection in force changed.")
                              .Register(*registry_)
                              .Add({})),
      selection_info_(
          BuildGauge().Name("midlayer_selection_info").Help("The selection in force.").Register(*registry_)),
      selection_scores_(BuildGauge()
                            .Name("midlayer_selection_score")
                            .Help("The metric that decided the selection in force, by layer.")
                            .Register(*registry_)) {
  auto& stages = BuildHistogram()
                     .Name("midlayer_stage_duration_seconds")
                     .Help(
                         "Time in a stage: tokenize (a request), queue (a text, by the priority of its request), "
                         "forward and pool (a batch; on a GPU forward has both).")
                     .Register(*registry_);
  const prometheus::Labels in_order[] = {{{"stage", "tokenize"}},
                                         {{"stage", "queue"}, {"priority", "interactive"}},
                                         {{"stage", "queue"}, {"priority", "bulk"}},
                                         {{"stage", "forward"}},
                                         {{"stage", "pool"}}};
  for (const prometheus::Labels& labels : in_order) stages_.push_back(&stages.Add(labels, SecondsBuckets()));
  // Counters that are there before they count: Prometheus sees no increase in the first value of a series.
  for (const char* reason : {"queue_full", "deadline", "invalid", "unauthorized", "score_runs", "score_size"}) {
    rejected_.Add({{"reason", reason}});
  }
  for (const char* reason : {"out_of_memory", "error"}) batch_splits_.Add({{"reason", reason}});
  for (const char* result : {"hit", "miss"}) cache_lookups_.Add({{"result", result}});
  for (const char* stage : {"forward", "accumulate", "finish"}) score_seconds_.Add({{"stage", stage}});
  score_runs_.Add({{"code", "OK"}});
  BuildGauge().Name("midlayer_build_info").Help("The build.").Register(*registry_).Add({{"version", kVersion}}).Set(1);
}

void Telemetry::SetModel(const ModelFacts& model) {
  model_info_
      .Add({{"name", model.name},
            {"architecture", model.architecture},
            {"fingerprint", model.fingerprint},
            {"layers", std::to_string(model.layers)},
            {"max_layer", std::to_string(model.max_layer)},
            {"attention", model.attention},
            {"adapters", std::to_string(model.adapters)},
            {"dtype", model.dtype},
            {"device", model.device}})
      .Set(1);
}

void Telemetry::RequestEnded(std::string_view method, std::string_view code, double seconds) {
  const prometheus::Labels labels = {{"method", std::string(method)}, {"code", std::string(code)}};
  requests_.Add(labels).Increment();
  request_seconds_.Add(labels, SecondsBuckets()).Observe(seconds);
}

void Telemetry::Embedded(int deepest_layer, std::string_view pooling, double seconds) {
  embed_seconds_.Add({{"layer", std::to_string(deepest_layer)}, {"pooling", std::string(pooling)}}, SecondsBuckets())
      .Observe(seconds);
}

void Telemetry::Rejected(std::string_view reason) { rejected_.Add({{"reason", std::string(reason)}}).Increment(); }

void Telemetry::StageTook(Stage stage, double seconds) { stages_[static_cast<size_t>(stage)]->Observe(seconds); }

void Telemetry::LayerTook(int layer, double seconds) {
  layer_seconds_.Add({{"layer", std::to_string(layer)}}, LayerBuckets()).Observe(seconds);
}

void Telemetry::BatchRan(int64_t rows, int64_t tokens) {
  batch_rows_.Observe(static_cast<double>(rows));
  batch_tokens_.Observe(static_cast<double>(tokens));
  texts_.Increment(static_cast<double>(rows));
  tokens_.Increment(static_cast<double>(tokens));
}

void Telemetry::BatchSplit(std::string_view reason) {
  batch_splits_.Add({{"reason", std::string(reason)}}).Increment();
}

void Telemetry::QueueIs(int64_t rows, int64_t tokens) {
  queue_rows_.Set(static_cast<double>(rows));
  queue_tokens_.Set(static_cast<double>(tokens));
}

void Telemetry::WaitingTextsAre(int64_t texts) { waiting_texts_.Set(static_cast<double>(texts)); }

void Telemetry::LimitsAre(int64_t batch_tokens, int64_t waiting_texts) {
  batch_tokens_limit_.Set(static_cast<double>(batch_tokens));
  waiting_texts_limit_.Set(static_cast<double>(waiting_texts));
}

void Telemetry::CacheLookedUp(bool found) { cache_lookups_.Add({{"result", found ? "hit" : "miss"}}).Increment(); }

void Telemetry::CacheHolds(int64_t vectors) { cache_vectors_.Set(static_cast<double>(vectors)); }

void Telemetry::ScoreBegan() { score_running_.Increment(); }

void Telemetry::ScoreEnded(std::string_view code) {
  score_running_.Decrement();
  score_progress_.Set(0);
  score_runs_.Add({{"code", std::string(code)}}).Increment();
}

void Telemetry::ScoreIsAt(double part) { score_progress_.Set(part); }

void Telemetry::ScoreStageTook(std::string_view stage, double seconds) {
  score_seconds_.Add({{"stage", std::string(stage)}}).Increment(seconds);
}

void Telemetry::SelectionIs(const SelectionFacts& facts) {
  std::lock_guard lock(selection_mutex_);
  if (selection_id_ == facts.id) return;
  if (selection_id_.has_value()) selection_switches_.Increment();
  selection_id_ = facts.id;
  for (size_t i = 0; i < selection_gauges_.size(); ++i) {
    (i == 0 ? selection_info_ : selection_scores_).Remove(selection_gauges_[i]);
  }
  selection_gauges_.clear();
  if (facts.id.empty()) return;
  selection_gauges_.push_back(&selection_info_.Add({{"id", facts.id},
                                                    {"layer", std::to_string(facts.layer)},
                                                    {"pooling", facts.pooling},
                                                    {"metric", facts.metric}}));
  selection_gauges_.back()->Set(1);
  for (size_t layer = 0; layer < facts.curve.size(); ++layer) {
    selection_gauges_.push_back(&selection_scores_.Add({{"metric", facts.metric}, {"layer", std::to_string(layer)}}));
    selection_gauges_.back()->Set(facts.curve[layer]);
  }
}

void Telemetry::SelectionStoreIs(bool up) { store_up_.Set(up ? 1 : 0); }

void Telemetry::ServingIs(bool serving) { serving_.Set(serving ? 1 : 0); }

}  // namespace midlayer
