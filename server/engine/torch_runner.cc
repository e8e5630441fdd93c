#include "server/engine/torch_runner.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <utility>

#include "server/engine/pooling.h"
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

// Collects the pooled vectors of one batch while it runs.
class Collector {
 public:
  Collector(const Transformer& transformer, const Batch& batch) : transformer_(transformer), batch_(batch) {
    for (const Row& row : batch.rows) {
      first_slot_.push_back(slots_);
      slots_ += static_cast<int64_t>(row.request->slots.size());
    }
    pooled_SD_ =
        at::empty({slots_, transformer.arch().hidden}, at::TensorOptions(transformer.device()).dtype(at::kFloat));
  }

  // Pools whatever is wanted of this layer.
  void Take(int layer, const at::Tensor& states_PD) {
    at::Tensor normed_PD;  // made when the first row wants it
    for (int64_t row = 0; row < batch_.packed.RowsAt(layer); ++row) {
      const std::vector<PoolSlot>& slots = batch_.rows[row].request->slots;
      for (size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].layer != layer) continue;
        const bool normed = slots[i].state == State::kNormed;
        if (normed && !normed_PD.defined()) normed_PD = transformer_.Normed(layer, states_PD);
        const int64_t begin = batch_.packed.offsets[row], end = batch_.packed.offsets[row + 1];
        const at::Tensor states_TD = (normed ? normed_PD : states_PD).narrow(0, begin, end - begin);
        pooled_SD_[first_slot_[row] + static_cast<int64_t>(i)].copy_(
            Pool(states_TD, batch_.rows[row].pool_begin, slots[i].pooling));
      }
    }
  }

  // One copy to the host (and one for the outputs of the Dense modules), and everything in its place.
  std::vector<std::vector<std::vector<float>>> Finish() {
    std::vector<int64_t> dense_slots;
    for (size_t row = 0; row < batch_.rows.size(); ++row) {
      const std::vector<PoolSlot>& slots = batch_.rows[row].request->slots;
      for (size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].dense) dense_slots.push_back(first_slot_[row] + static_cast<int64_t>(i));
      }
    }
    at::Tensor dense;
    if (!dense_slots.empty()) {
      const at::Tensor index = at::tensor(at::IntArrayRef(dense_slots)).to(pooled_SD_.device());
      dense = transformer_.Dense(pooled_SD_.index_select(0, index)).to(at::kCPU);
    }
    const at::Tensor pooled = pooled_SD_.to(at::kCPU);
    int64_t next_dense = 0;
    std::vector<std::vector<std::vector<float>>> rows(batch_.rows.size());
    for (size_t row = 0; row < rows.size(); ++row) {
      const std::vector<PoolSlot>& slots = batch_.rows[row].request->slots;
      for (size_t i = 0; i < slots.size(); ++i) {
        const at::Tensor vector =
            slots[i].dense ? dense[next_dense++] : pooled[first_slot_[row] + static_cast<int64_t>(i)];
        const float* data = vector.const_data_ptr<float>();
        rows[row].emplace_back(data, data + vector.numel());
      }
    }
    return rows;
  }

 private:
  const Transformer& transformer_;
  const Batch& batch_;
  std::vector<int64_t> first_slot_;  // of each row
  int64_t slots_ = 0;                // S
  at::Tensor pooled_SD_;
};

class TorchRunner : public Runner {
 public:
  TorchRunner(std::shared_ptr<const Transformer> transformer, Telemetry* telemetry)
      : transformer_(std::move(transformer)), telemetry_(telemetry) {}

  absl::StatusOr<std::vector<std::vector<std::vector<float>>>> Run(const Batch& batch) override {
    std::vector<std::vector<std::vector<float>>> result;
    const absl::Status status = CatchTorch([&] { result = RunUnguarded(batch); });
    if (!status.ok()) return status;
    return result;
  }

  absl::Status RunStates(const PackedTokens& batch, State state, StatesTap tap) override {
    return CatchTorch([&] {
      const c10::InferenceMode inference;
      transformer_->Run(batch, [&](int layer, const at::Tensor& states_PD) {
        const at::Tensor host_PD =
            (state == State::kNormed ? transformer_->Normed(layer, states_PD) : states_PD).to(at::kCPU).contiguous();
        return tap(layer, absl::MakeConstSpan(host_PD.const_data_ptr<float>(), static_cast<size_t>(host_PD.numel())));
      });
    });
  }

 private:
  std::vector<std::vector<std::vector<float>>> RunUnguarded(const Batch& batch) {
    const c10::InferenceMode inference;
    const bool on_cpu = transformer_->device().is_cpu();  // elsewhere the calls return before the work is done
    Collector collector(*transformer_, batch);
    double forward = 0, pool = 0;
    Stopwatch stopwatch;
    transformer_->Run(batch.packed, [&](int layer, const at::Tensor& states_PD) {
      const double layer_seconds = stopwatch.Lap();
      forward += layer_seconds;
      if (on_cpu) telemetry_->LayerTook(layer, layer_seconds);
      collector.Take(layer, states_PD);
      pool += stopwatch.Lap();
      return true;
    });
    auto result = collector.Finish();
    pool += stopwatch.Lap();
    telemetry_->StageTook(Telemetry::Stage::kForward, forward);
    telemetry_->StageTook(Telemetry::Stage::kPool, pool);
    return result;
  }

  const std::shared_ptr<const Transformer> transformer_;
  Telemetry* const telemetry_;
};

}  // namespace

std::unique_ptr<Runner> MakeTorchRunner(std::shared_ptr<const Transformer> transformer, Telemetry* telemetry) {
  return std::make_unique<TorchRunner>(std::move(transformer), telemetry);
}

}  // namespace midlayer
