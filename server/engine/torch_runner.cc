#include "server/engine/torch_runner.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/base/status.h"
#include "server/engine/pool_collector.h"
#include "server/models/device.h"
#include "server/models/transformer.h"

namespace midlayer {

namespace {

class Stopwatch {
 public:
  // Seconds since the last call, or since construction.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// How long each layer of a batch takes on a GPU, where calls return before the work is done: events in its stream.
class LayerEvents {
 public:
  explicit LayerEvents(const c10::Stream& stream) : stream_(stream) { Mark(); }

  // The layer's states are there, and will now be pooled.
  void LayerDone() { Mark(); }
  void PoolingDone() { Mark(); }

  // After all that is in the stream was waited for.
  void Report(Telemetry& telemetry) const {
    for (size_t layer = 0; 2 * layer + 1 < events_.size(); ++layer) {
      telemetry.LayerTook(static_cast<int>(layer), events_[2 * layer].elapsedTime(events_[2 * layer + 1]) / 1000);
    }
  }

 private:
  void Mark() {
    events_.emplace_back(stream_.device_type(), c10::EventFlag::BACKEND_DEFAULT);
    events_.back().record(stream_);
  }

  const c10::Stream stream_;
  std::vector<c10::Event> events_;
};

// What runners for the CPU and for GPUs share.
class TorchRunner : public Runner {
 public:
  TorchRunner(Replica replica, Telemetry* telemetry) : replica_(std::move(replica)), telemetry_(*telemetry) {}

  absl::StatusOr<Vectors> Run(const Batch& batch) override {
    Vectors vectors;
    const absl::Status status = CatchTorch([&] {
      const c10::InferenceMode inference;
      vectors = RunBatch(batch);
    });
    if (!status.ok()) return status;
    return vectors;
  }

  absl::Status RunStates(const PackedTokens& batch, State state, StatesTap tap) override {
    return CatchTorch([&] {
      const c10::InferenceMode inference;
      RunForStates(batch, state, tap);
    });
  }

 protected:
  virtual Vectors RunBatch(const Batch& batch) = 0;

  virtual void RunForStates(const PackedTokens& batch, State state, StatesTap tap) {
    const Transformer& transformer = *replica_.transformer;
    transformer.Run(batch, [&](int layer, const at::Tensor& states_PD) {
      const at::Tensor host_PD = (state == State::kNormed ? transformer.Normed(layer, states_PD) : states_PD)
                                     .to(at::kCPU, at::kFloat)
                                     .contiguous();
      return tap(layer, absl::MakeConstSpan(host_PD.const_data_ptr<float>(), static_cast<size_t>(host_PD.numel())));
    });
  }

  const Replica replica_;
  Telemetry& telemetry_;
};

// Shares the processors out to the passes that are computed at once. A pass alone has all of them, many have one each:
// there, threads that wait for each other at every step are slower than passes side by side. Thread-safe.
class Processors {
 public:
  explicit Processors(int count) : count_(count) {}

  // One pass, on the thread that computes it. Not computing while it is paused.
  class Pass {
   public:
    Pass(Processors& processors, int64_t tokens) : processors_(processors), tokens_(tokens) { Resume(); }
    ~Pass() { Pause(); }
    void Resume() {
      ++processors_.passes_;
      ShareAgain();
    }
    void Pause() { --processors_.passes_; }
    // Others have come or gone.
    void ShareAgain() { UseThreads(processors_.ShareOf(tokens_, processors_.passes_)); }

   private:
    // Of libtorch and oneDNN, on this thread alone.
    static void UseThreads(int threads) {
      at::get_num_threads();  // at the first call on a thread, it sets a number of its own
      omp_set_num_threads(threads);
    }

    Processors& processors_;
    const int64_t tokens_;
  };

 private:
  // Fewer are not worth another thread.
  static constexpr int64_t kTokensAThread = 8;

  int ShareOf(int64_t tokens, int passes) const {
    const auto useful = static_cast<int>(std::clamp<int64_t>(tokens / kTokensAThread, 1, count_));
    return std::clamp(count_ / passes, 1, useful);
  }

  const int count_;
  std::atomic<int> passes_ = 0;
};

class CpuRunner final : public TorchRunner {
 public:
  CpuRunner(Replica replica, Telemetry* telemetry, std::shared_ptr<Processors> processors)
      : TorchRunner(std::move(replica), telemetry), processors_(std::move(processors)) {}

  bool SharesProcessors() const override { return true; }

 private:
  Vectors RunBatch(const Batch& batch) override {
    Processors::Pass pass(*processors_, batch.packed.tokens());
    PoolCollector collector(replica_, batch);
    double forward = 0, pool = 0;
    Stopwatch stopwatch;
    replica_.transformer->Run(batch.packed, [&](int layer, const at::Tensor& states_PD) {
      const double layer_seconds = stopwatch.Lap();
      forward += layer_seconds;
      telemetry_.LayerTook(layer, layer_seconds);
      collector.Take(layer, states_PD);
      pool += stopwatch.Lap();
      pass.ShareAgain();
      return true;
    });
    Vectors vectors = collector.Finish([](const at::Tensor& pooled) { return pooled; });
    pool += stopwatch.Lap();
    telemetry_.StageTook(Telemetry::Stage::kForward, forward);
    telemetry_.StageTook(Telemetry::Stage::kPool, pool);
    return vectors;
  }

  void RunForStates(const PackedTokens& batch, State state, StatesTap tap) override {
    Processors::Pass pass(*processors_, batch.tokens());
    TorchRunner::RunForStates(batch, state, [&](int layer, absl::Span<const float> states_PD) {
      pass.Pause();  // it may run other batches, or wait for them
      const absl::Cleanup resume = [&pass] { pass.Resume(); };
      return tap(layer, states_PD);
    });
  }

  const std::shared_ptr<Processors> processors_;
};

// On a stream of its own: nothing is waited for before the vectors are on the host.
class GpuRunner final : public TorchRunner {
 public:
  GpuRunner(Replica replica, Telemetry* telemetry)
      : TorchRunner(std::move(replica), telemetry),
        stream_(c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamFromGlobalPool(replica_.transformer->device())) {}

  // Libraries keep a handle for each thread, and a workspace for each stream.
  void WarmUp() override {
    CatchTorch([&] {
      const c10::InferenceMode inference;
      const c10::StreamGuard guard(stream_);
      replica_.transformer->WarmUp();
      stream_.synchronize();
    }).IgnoreError();  // what goes wrong here goes wrong again in a batch, and is told there
  }

 private:
  static constexpr int kTimedBatches = 16;  // of so many one is timed layer by layer

  Vectors RunBatch(const Batch& batch) override {
    const c10::StreamGuard guard(stream_);
    PoolCollector collector(replica_, batch);
    std::optional<LayerEvents> events;
    if (batches_++ % kTimedBatches == 0) events.emplace(stream_);
    Stopwatch stopwatch;
    replica_.transformer->Run(batch.packed, [&](int layer, const at::Tensor& states_PD) {
      if (events) events->LayerDone();
      collector.Take(layer, states_PD);
      if (events) events->PoolingDone();
      return true;
    });
    Vectors vectors = collector.Finish([this](const at::Tensor& pooled) { return ToHost(pooled); });
    telemetry_.StageTook(Telemetry::Stage::kForward, stopwatch.Lap());  // and pooling, which it is not told from
    if (events) events->Report(telemetry_);
    return vectors;
  }

  void RunForStates(const PackedTokens& batch, State state, StatesTap tap) override {
    const c10::StreamGuard guard(stream_);
    TorchRunner::RunForStates(batch, state, tap);
  }

  at::Tensor ToHost(const at::Tensor& values) const {
    at::Tensor host = at::empty(values.sizes(), at::TensorOptions(values.scalar_type()).pinned_memory(true));
    host.copy_(values, /*non_blocking=*/true);
    stream_.synchronize();
    return host;
  }

  const c10::Stream stream_;
  int64_t batches_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Runner>>> MakeTorchRunners(absl::Span<const Replica> replicas, int streams,
                                                                      Telemetry* telemetry) {
  std::vector<std::unique_ptr<Runner>> runners;
  MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] {
    const int threads = at::get_num_threads();
    const auto processors = std::make_shared<Processors>(threads);
    for (const Replica& replica : replicas) {
      if (replica.transformer->device().is_cpu()) {
        for (int i = 0; i < threads; ++i) {
          runners.push_back(std::make_unique<CpuRunner>(replica, telemetry, processors));
        }
      }
    }
    for (int stream = 0; stream < streams; ++stream) {
      for (const Replica& replica : replicas) {
        if (replica.transformer->device().is_cuda()) {
          runners.push_back(std::make_unique<GpuRunner>(replica, telemetry));
        }
      }
    }
  }));
  return runners;
}

}  // namespace midlayer
