// For tests: a loaded model with its engine, called as if it were a function.
#ifndef MIDLAYER_TESTS_ENGINE_EMBEDDER_H_
#define MIDLAYER_TESTS_ENGINE_EMBEDDER_H_

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "server/engine/engine.h"
#include "server/engine/torch_runner.h"

namespace midlayer {

class Embedder {
 public:
  explicit Embedder(const LoadOptions& options, int64_t batch_tokens = 1024, int streams = 2)
      : model_(LoadModel(options).value()),
        runner_(std::move(MakeTorchRunners(model_.replicas, 1, &telemetry_).value()[0])),
        engine_({.batch_tokens = batch_tokens, .include_prompt = model_.info.description.include_prompt},
                model_.tokenizer.get(), MakeTorchRunners(model_.replicas, streams, &telemetry_).value(), &telemetry_) {}

  const ModelInfo& info() const { return model_.info; }
  const Telemetry& telemetry() const { return telemetry_; }

  absl::StatusOr<EmbedResult> Embed(EmbedTask task) {
    std::promise<absl::StatusOr<EmbedResult>> promise;
    engine_.Embed(std::move(task), Engine::WhenFull::kRefuse,
                  [&](absl::StatusOr<EmbedResult> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  // The first text of each task, all in one pass of the model; for each task its pooled vectors.
  std::vector<std::vector<std::vector<float>>> RunAsOneBatch(const std::vector<EmbedTask>& tasks) {
    std::vector<Row> rows;
    for (size_t i = 0; i < tasks.size(); ++i) {
      auto request = std::make_shared<Request>(tasks[i], absl::Now(), [](const absl::StatusOr<EmbedResult>&) {});
      rows.push_back({.request = std::move(request),
                      .text = i,
                      .ids = model_.tokenizer->Encode(tasks[i].texts[0], tasks[i].truncation).value().ids});
    }
    const Batch batch = Assemble(std::move(rows), absl::Now());
    auto ordered = runner_->Run(batch).value();
    std::vector<std::vector<std::vector<float>>> results(tasks.size());
    for (size_t i = 0; i < batch.rows.size(); ++i) results[batch.rows[i].text] = std::move(ordered[i]);
    return results;
  }

 private:
  LoadedModel model_;
  Telemetry telemetry_;
  std::unique_ptr<Runner> runner_;
  Engine engine_;
};

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_ENGINE_EMBEDDER_H_
