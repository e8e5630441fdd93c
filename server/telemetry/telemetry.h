// What operators watch: counters and histograms in Prometheus' form.
#ifndef MIDLAYER_SERVER_TELEMETRY_TELEMETRY_H_
#define MIDLAYER_SERVER_TELEMETRY_TELEMETRY_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace midlayer {

// One place for every series that the server exports. Thread-safe.
class Telemetry {
 public:
  Telemetry();

  // What Prometheus reads.
  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

  struct ModelFacts {
    std::string name, architecture, fingerprint;
    int layers = 0;         // that it has
    int max_layer = 0;      // that is loaded, and that the fingerprint is of
    std::string attention;  // "bidirectional", "causal"
    int adapters = 0;       // merged ones
    std::string dtype, device;
  };
  void SetModel(const ModelFacts& model);

  // A call, or a message of a stream, has ended. `code` is the gRPC code's name ("OK", "CANCELLED", …).
  void RequestEnded(std::string_view method, std::string_view code, double seconds);
  // An embedding request was answered; once for each of its outputs.
  void Embedded(int deepest_layer, std::string_view pooling, double seconds);
  // Refused before any vector was computed: "queue_full", "deadline", "invalid", "unauthorized"; of scoring also
  // "score_runs" (too many at once) and "score_size".
  void Rejected(std::string_view reason);

  // Stages: how long a request was tokenized, how long a row waited for a batch (by its priority), how long a batch was
  // computed, and how long it was pooled.
  enum class Stage { kTokenize, kQueueInteractive, kQueueBulk, kForward, kPool };
  void StageTook(Stage stage, double seconds);
  // One block (0: the embeddings) for one batch.
  void LayerTook(int layer, double seconds);
  void BatchRan(int64_t rows, int64_t tokens);
  // A batch failed ("out_of_memory", "error") and is run again in halves.
  void BatchSplit(std::string_view reason);
  void QueueIs(int64_t rows, int64_t tokens);
  // Texts of all requests that have not ended.
  void WaitingTextsAre(int64_t texts);
  // Most tokens of a batch, and most texts of all requests that have not ended.
  void LimitsAre(int64_t batch_tokens, int64_t waiting_texts);
  // Whether the cache of vectors had a text; how many vectors it holds.
  void CacheLookedUp(bool found);
  void CacheHolds(int64_t vectors);

  // A scoring run began; it ended with this gRPC code; how far the one that reported last is (0 to 1).
  void ScoreBegan();
  void ScoreEnded(std::string_view code);
  void ScoreIsAt(double part);
  // Of an ended run: "forward", "accumulate", "finish".
  void ScoreStageTook(std::string_view stage, double seconds);

  // The selection in force, no id for none. `curve`: the metric that decided, by layer.
  struct SelectionFacts {
    std::string id;
    int layer = 0;
    std::string pooling;
    std::string metric;
    std::vector<double> curve;
  };
  void SelectionIs(const SelectionFacts& facts);
  void SelectionStoreIs(bool up);
  // What health says.
  void ServingIs(bool serving);

 private:
  using Histograms = prometheus::Family<prometheus::Histogram>;
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;

  const std::shared_ptr<prometheus::Registry> registry_;
  Counters& requests_;
  Histograms& request_seconds_;
  Histograms& embed_seconds_;
  Counters& rejected_;
  Histograms& layer_seconds_;
  Gauges& model_info_;
  std::vector<prometheus::Histogram*> stages_;  // by Stage
  prometheus::Histogram& batch_rows_;
  prometheus::Histogram& batch_tokens_;
  Counters& batch_splits_;
  prometheus::Counter& texts_;
  prometheus::Counter& tokens_;
  prometheus::Gauge& queue_rows_;
  prometheus::Gauge& queue_tokens_;
  prometheus::Gauge& waiting_texts_;
  prometheus::Gauge& batch_tokens_limit_;
  prometheus::Gauge& waiting_texts_limit_;
  Counters& cache_lookups_;
  prometheus::Gauge& cache_vectors_;
  Counters& score_runs_;
  Counters& score_seconds_;
  prometheus::Gauge& score_running_;
  prometheus::Gauge& score_progress_;
  prometheus::Gauge& store_up_;
  prometheus::Gauge& serving_;
  prometheus::Counter& selection_switches_;
  Gauges& selection_info_;
  Gauges& selection_scores_;

  std::mutex selection_mutex_;
  // Guarded by selection_mutex_.
  std::optional<std::string> selection_id_;           // the last one told, empty for none
  std::vector<prometheus::Gauge*> selection_gauges_;  // of it: the info first
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TELEMETRY_TELEMETRY_H_
