// A model whose answers are computed from the token ids alone, and that a test can stop and watch.
#ifndef MIDLAYER_TESTS_ENGINE_FAKE_MODEL_H_
#define MIDLAYER_TESTS_ENGINE_FAKE_MODEL_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/runner.h"

namespace midlayer {

inline constexpr int32_t kPoison = 115;  // the id of "vu" in the golden tokenizer: the fake model fails on it

// What the fake model answers for a slot: the tokens that are pooled, in order, as one number, and the slot.
inline std::vector<float> VectorOf(const std::vector<int32_t>& ids, int pool_begin, const PoolSlot& slot) {
  int hash = 0;
  for (size_t t = static_cast<size_t>(pool_begin); t < ids.size(); ++t) hash = (hash * 31 + ids[t]) % 65521;
  return {static_cast<float>(hash), static_cast<float>(slot.layer), static_cast<float>(slot.pooling),
          static_cast<float>(slot.state)};
}

// What a test sees and steers of the fake model. Thread-safe.
struct FakeModel {
  // While it is closed, Run() blocks.
  void Close() { Set(true); }
  void Open() { Set(false); }
  void Set(bool closed) {
    std::lock_guard lock(mutex);
    is_closed = closed;
    changed.notify_all();
  }
  // Blocks until so many batches have come.
  void WaitForBatches(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return batches.size() >= count; });
  }
  std::vector<size_t> RowsOfBatches() {
    std::lock_guard lock(mutex);
    std::vector<size_t> rows;
    for (const auto& batch : batches) rows.push_back(batch.size());
    return rows;
  }
  // The states of RunStates(): two layers of one dimension, each token's id times the layer's number + 1.
  static constexpr int kLayers = 2;

  bool Saw(const std::vector<int32_t>& ids) {
    std::lock_guard lock(mutex);
    return std::any_of(batches.begin(), batches.end(),
                       [&](const auto& batch) { return std::find(batch.begin(), batch.end(), ids) != batch.end(); });
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool is_closed = false;
  size_t most_rows = 1 << 20;   // for more in one batch there is no memory
  bool memory_for_one = false;  // there is memory for one batch at a time only
  bool shares_processors = false;
  size_t running = 0;
  std::vector<std::vector<std::vector<int32_t>>> batches;  // the ids of the rows of each
};

class FakeRunner : public Runner {
 public:
  explicit FakeRunner(FakeModel* model) : model_(model) {}

  bool SharesProcessors() const override { return model_->shares_processors; }

  absl::StatusOr<Vectors> Run(const Batch& batch) override {
    CheckPacking(batch);
    {
      std::unique_lock lock(model_->mutex);
      model_->batches.emplace_back();
      for (const Row& row : batch.rows) model_->batches.back().push_back(row.ids);
      const bool fits = batch.rows.size() <= model_->most_rows && (!model_->memory_for_one || model_->running == 0);
      if (fits) ++model_->running;
      model_->changed.notify_all();
      if (!fits) return absl::ResourceExhaustedError("out of the fake model's memory");
      model_->changed.wait(lock, [this] { return !model_->is_closed; });
      --model_->running;
    }
    Vectors results;
    for (const Row& row : batch.rows) {
      if (std::find(row.ids.begin(), row.ids.end(), kPoison) != row.ids.end()) {
        return absl::InternalError("the fake model fails on vu");
      }
      results.emplace_back();
      for (const PoolSlot& slot : row.request->slots) {
        results.back().push_back(VectorOf(row.ids, row.pool_begin, slot));
      }
    }
    return results;
  }

  absl::Status RunStates(const PackedTokens& batch, State, StatesTap tap) override {
    if (std::find(batch.ids.begin(), batch.ids.end(), kPoison) != batch.ids.end()) {
      return absl::InternalError("the fake model fails on vu");
    }
    for (int layer = 0; layer < FakeModel::kLayers; ++layer) {
      std::vector<float> states;
      for (const int32_t id : batch.ids) states.push_back(static_cast<float>(id * (layer + 1)));
      if (!tap(layer, states)) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

 private:
  static void CheckPacking(const Batch& batch) {
    ASSERT_FALSE(batch.rows.empty());
    const PackedTokens& packed = batch.packed;
    ASSERT_EQ(packed.offsets.size(), batch.rows.size() + 1);
    ASSERT_EQ(packed.last_layer.size(), batch.rows.size());
    EXPECT_TRUE(std::is_sorted(packed.last_layer.rbegin(), packed.last_layer.rend()));
    for (size_t r = 0; r < batch.rows.size(); ++r) {
      const std::vector<int32_t> ids(packed.ids.begin() + packed.offsets[r],
                                     packed.ids.begin() + packed.offsets[r + 1]);
      EXPECT_EQ(ids, batch.rows[r].ids);
    }
  }

  FakeModel* const model_;
};

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_ENGINE_FAKE_MODEL_H_
