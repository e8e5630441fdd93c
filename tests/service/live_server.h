// For tests: a served golden model behind a real channel, with a gate before its device.
#ifndef MIDLAYER_TESTS_SERVICE_LIVE_SERVER_H_
#define MIDLAYER_TESTS_SERVICE_LIVE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "midlayer/v1/embedding.grpc.pb.h"
#include "server/engine/torch_runner.h"
#include "server/engine/torch_scorer.h"
#include "server/service/server.h"
#include "server/weights/safetensors.h"

namespace midlayer {

// Whether `condition` comes true within a bound that only a broken server reaches.
template <typename Condition>
bool Eventually(Condition condition, absl::Duration bound = absl::Seconds(20)) {
  for (const absl::Time end = absl::Now() + bound; !condition(); absl::SleepFor(absl::Milliseconds(2))) {
    if (absl::Now() > end) return false;
  }
  return true;
}

// What stands between the engine and the device, and what went through it. Thread-safe.
class Gate {
 public:
  void Close() { Set(false); }
  void Open() { Set(true); }
  // A batch with this text fails.
  void Poison(std::string text) {
    std::lock_guard lock(mutex_);
    poison_ = std::move(text);
  }

  // Whether the device has been given this text.
  bool Saw(const std::string& text) const {
    std::lock_guard lock(mutex_);
    return std::find(texts_.begin(), texts_.end(), text) != texts_.end();
  }
  size_t texts_seen() const {
    std::lock_guard lock(mutex_);
    return texts_.size();
  }
  size_t largest_batch() const {
    std::lock_guard lock(mutex_);
    return largest_batch_;
  }

  // Notes the batch, and waits while the gate is closed.
  absl::Status Pass(const Batch& batch) {
    std::unique_lock lock(mutex_);
    largest_batch_ = std::max(largest_batch_, batch.rows.size());
    bool poisoned = false;
    for (const Row& row : batch.rows) {
      texts_.push_back(row.request->task.texts[row.text]);
      poisoned |= !poison_.empty() && texts_.back() == poison_;
    }
    changed_.wait(lock, [this] { return open_; });
    return poisoned ? absl::InternalError("poison") : absl::OkStatus();
  }

 private:
  void Set(bool open) {
    std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool open_ = true;
  std::string poison_;
  std::vector<std::string> texts_;
  size_t largest_batch_ = 0;
};

class GatedRunner final : public Runner {
 public:
  GatedRunner(std::unique_ptr<Runner> inner, Gate* gate) : inner_(std::move(inner)), gate_(gate) {}

  absl::StatusOr<Vectors> Run(const Batch& batch) override {
    if (const absl::Status passed = gate_->Pass(batch); !passed.ok()) return passed;
    return inner_->Run(batch);
  }
  absl::Status RunStates(const PackedTokens& batch, State state, StatesTap tap) override {
    return inner_->RunStates(batch, state, tap);
  }

 private:
  const std::unique_ptr<Runner> inner_;
  Gate* const gate_;
};

// A call's context with a deadline that only a server that hangs reaches.
inline std::unique_ptr<grpc::ClientContext> NewContext(absl::Duration timeout = absl::Seconds(60)) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  return context;
}

// What a call of Embed came to.
struct Outcome {
  grpc::Status status;
  v1::EmbedResponse response;
};

// LoadModel -> Engine -> Server on a free port of 127.0.0.1, and a channel to it.
class LiveServer {
 public:
  struct Options {
    std::string model = "bert";  // of tests/golden/models
    int max_layer = -1;
    Engine::Options engine;
    RequestLimits limits;
    int max_message_bytes = 64 << 20;
    std::string selection_store = "memory";
    Selections::Options selections = {.poll_interval = absl::Milliseconds(20)};
    ScoreLimits score_limits;
    TorchScorerOptions scorer;
  };

  LiveServer() : LiveServer(Options()) {}
  explicit LiveServer(Options options)
      : model_(
            LoadModel(
                {.directory = Directory(options.model), .device = "cpu", .max_layer = options.max_layer, .threads = 1})
                .value()) {
    options.engine.include_prompt = model_.info.description.include_prompt;
    std::vector<std::unique_ptr<Runner>> runners = MakeTorchRunners(model_.replicas, 1, &telemetry_).value();
    for (auto& runner : runners) runner = std::make_unique<GatedRunner>(std::move(runner), &gate_);
    engine_ = std::make_unique<Engine>(options.engine, model_.tokenizer.get(), std::move(runners), &telemetry_);
    scorer_ = MakeTorchScorer(engine_.get(), &model_.info, model_.tokenizer.get(), options.scorer);
    selections_ = std::make_unique<Selections>(OpenStore(options.selection_store, "test").value(), &model_.info,
                                               options.selections, &telemetry_);
    server_ = Server::Start({.listen = "127.0.0.1:0", .max_message_bytes = options.max_message_bytes},
                            {.engine = engine_.get(),
                             .selections = selections_.get(),
                             .scorer = scorer_.get(),
                             .callers = &callers_,
                             .model = &model_.info,
                             .telemetry = &telemetry_,
                             .limits = options.limits,
                             .score_limits = options.score_limits})
                  .value();
    channel_ = NewChannel();
    // A busy machine fails a connect now and then, which no test here is about.
    EXPECT_TRUE(channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)));
    stub_ = v1::EmbeddingService::NewStub(channel_);
  }
  ~LiveServer() {
    gate_.Open();
    server_->Shutdown(absl::Seconds(1));
  }

  static std::filesystem::path Directory(const std::string& model) {
    return std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests/golden/models" / model;
  }

  // A channel of its own connection.
  std::shared_ptr<grpc::Channel> NewChannel(grpc::ChannelArguments arguments = {}) const {
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments);
  }

  Outcome Embed(const v1::EmbedRequest& request, absl::Duration timeout = absl::Seconds(60)) const {
    Outcome outcome;
    const auto context = NewContext(timeout);
    outcome.status = stub_->Embed(context.get(), request, &outcome.response);
    return outcome;
  }

  // A series' value (of a histogram, its count) where `labels` are among its labels, summed; 0 where there is none.
  double Metric(const std::string& name, const std::map<std::string, std::string>& labels = {}) const {
    double sum = 0;
    for (const prometheus::MetricFamily& family : telemetry_.registry()->Collect()) {
      if (family.name != name) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        const auto matches = [&](const auto& label) {
          return std::any_of(metric.label.begin(), metric.label.end(), [&](const auto& found) {
            return found.name == label.first && found.value == label.second;
          });
        };
        if (!std::all_of(labels.begin(), labels.end(), matches)) continue;
        sum += family.type == prometheus::MetricType::Counter ? metric.counter.value
               : family.type == prometheus::MetricType::Gauge ? metric.gauge.value
                                                              : static_cast<double>(metric.histogram.sample_count);
      }
    }
    return sum;
  }
  double Ended(const std::string& method, const std::string& code) const {
    return Metric("midlayer_requests_total", {{"method", method}, {"code", code}});
  }
  // Requests that have been tokenized, so that they wait for the device or are past it.
  double Tokenized() const { return Metric("midlayer_stage_duration_seconds", {{"stage", "tokenize"}}); }

  v1::EmbeddingService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  Gate& gate() { return gate_; }
  Server& server() { return *server_; }
  const ModelInfo& info() const { return model_.info; }

 private:
  LoadedModel model_;
  Telemetry telemetry_;
  Gate gate_;
  const Callers callers_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Scorer> scorer_;
  std::unique_ptr<Selections> selections_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EmbeddingService::Stub> stub_;
};

// The texts of the golden files; the last is "".
inline const std::vector<std::string>& GoldenTexts() {
  static const auto texts =
      nlohmann::json::parse(std::ifstream(std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests/golden/texts.json"))
          .get<std::vector<std::string>>();
  return texts;
}

// Row `row` of a matrix of the model's golden file, for example "pooled.raw.mean.2".
inline std::vector<float> GoldenRow(const std::string& model, const std::string& name, size_t row) {
  const auto file = SafetensorsFile::Open(LiveServer::Directory(model) / "golden.safetensors").value();
  const TensorView& view = file->tensors().at(name);
  std::vector<float> values(static_cast<size_t>(view.shape.at(1)));
  std::memcpy(values.data(), view.data.data() + row * values.size() * sizeof(float), values.size() * sizeof(float));
  return values;
}

inline std::vector<float> Values(const v1::Vector& vector) { return {vector.values().begin(), vector.values().end()}; }

// A request in the short form for the mean over `layer`, not normalised: the golden files have these.
inline v1::EmbedRequest MeanOf(int layer, const std::vector<std::string>& texts) {
  v1::EmbedRequest request;
  for (const std::string& text : texts) request.add_texts(text);
  request.set_layer(layer);
  request.set_pooling(v1::POOLING_MEAN);
  request.set_normalize(false);
  return request;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SERVICE_LIVE_SERVER_H_
