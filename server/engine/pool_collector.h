// Collects the pooled vectors of one batch while it runs.
#ifndef MIDLAYER_SERVER_ENGINE_POOL_COLLECTOR_H_
#define MIDLAYER_SERVER_ENGINE_POOL_COLLECTOR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "server/engine/batch.h"
#include "server/engine/torch_runner.h"

namespace midlayer {

// Not thread-safe; exceptions of libtorch pass through. `replica` and `batch` must outlive it.
class PoolCollector {
 public:
  PoolCollector(const Replica& replica, const Batch& batch);

  // Pools whatever is wanted of this layer. states: (P', D), as the model's tap gets them.
  void Take(int layer, const at::Tensor& states_PD);

  // For each row its vectors, one for each of its request's slots. `to_host` copies a tensor to the host and waits for
  // it: called once.
  Runner::Vectors Finish(const std::function<at::Tensor(const at::Tensor&)>& to_host);

 private:
  using Slots = std::vector<PoolSlot>;

  const Slots& SlotsOfRow(int64_t row) const { return batch_.rows[row].request->slots; }
  at::Tensor Vector(int64_t row, size_t slot) { return pooled_SD_[first_slot_[row] + static_cast<int64_t>(slot)]; }
  // What a trained head wants of this layer for a slot.
  void TakeForHead(int layer, int64_t row, size_t slot, const at::Tensor& states_TD);
  // Pools what was taken for the head.
  void RunHead();
  // The outputs of the Dense modules for the slots that want them, one after the other; undefined where none does.
  at::Tensor Dense() const;

  const Replica& replica_;
  const Batch& batch_;
  std::vector<int64_t> first_slot_;                       // of each row
  at::Tensor pooled_SD_;                                  // S: the slots of all rows
  std::map<int64_t, std::vector<at::Tensor>> head_rows_;  // for slots that the head pools: their rows so far, each (D)
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_POOL_COLLECTOR_H_
