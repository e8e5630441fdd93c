#include "server/engine/pool_collector.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include "server/engine/pooling.h"
#include "server/models/pooling_head.h"
#include "server/models/transformer.h"

namespace midlayer {

PoolCollector::PoolCollector(const Replica& replica, const Batch& batch) : replica_(replica), batch_(batch) {
  int64_t slots = 0;
  for (const Row& row : batch.rows) {
    first_slot_.push_back(slots);
    slots += static_cast<int64_t>(row.request->slots.size());
  }
  const Transformer& transformer = *replica.transformer;
  pooled_SD_ = at::empty({slots, transformer.arch().hidden}, at::TensorOptions(transformer.device()).dtype(at::kFloat));
}

void PoolCollector::Take(int layer, const at::Tensor& states_PD) {
  at::Tensor raw_PD, normed_PD;  // in float32, each made when the first row wants it
  for (int64_t row = 0; row < batch_.packed.RowsAt(layer); ++row) {
    const Slots& slots = SlotsOfRow(row);
    const int64_t begin = batch_.packed.offsets[row], tokens = batch_.packed.offsets[row + 1] - begin;
    for (size_t i = 0; i < slots.size(); ++i) {
      if (IsTrained(slots[i].pooling)) {
        TakeForHead(layer, row, i, states_PD.narrow(0, begin, tokens));
      } else if (slots[i].layer == layer) {
        const bool normed = slots[i].state == State::kNormed;
        at::Tensor& wanted_PD = normed ? normed_PD : raw_PD;
        if (!wanted_PD.defined()) {
          wanted_PD = (normed ? replica_.transformer->Normed(layer, states_PD) : states_PD).to(at::kFloat);
        }
        const at::Tensor states_TD = wanted_PD.narrow(0, begin, tokens);
        Vector(row, i).copy_(Pool(states_TD, batch_.rows[row].pool_begin, slots[i].pooling));
      }
    }
  }
}

void PoolCollector::TakeForHead(int layer, int64_t row, size_t slot, const at::Tensor& states_TD) {
  const PoolingHead& head = *replica_.pooling_head;
  const int wanted = SlotsOfRow(row)[slot].layer;
  const bool takes = head.multi_layer() ? layer >= 1 && layer <= wanted : layer == wanted;
  if (!takes) return;
  const int64_t begin = batch_.rows[row].pool_begin;
  if (const std::optional<Pooling> pooling = head.token_pooling()) {
    // A copy: a view would keep the states of all tokens.
    head_rows_[first_slot_[row] + static_cast<int64_t>(slot)].push_back(
        Pool(states_TD.to(at::kFloat), begin, *pooling).clone());
  } else {
    Vector(row, slot).copy_(head.pool().Pool(states_TD.narrow(0, begin, states_TD.size(0) - begin)));
  }
}

void PoolCollector::RunHead() {
  std::map<size_t, std::vector<int64_t>> by_rows;  // slots with so many rows
  for (const auto& [slot, rows] : head_rows_) by_rows[rows.size()].push_back(slot);
  for (const auto& [count, slots] : by_rows) {
    std::vector<at::Tensor> texts;
    for (const int64_t slot : slots) texts.push_back(at::stack(head_rows_[slot]));
    const at::Tensor pooled_BD = replica_.pooling_head->pool().PoolBatch(at::stack(texts));
    for (size_t i = 0; i < slots.size(); ++i) pooled_SD_[slots[i]].copy_(pooled_BD[static_cast<int64_t>(i)]);
  }
}

at::Tensor PoolCollector::Dense() const {
  std::vector<int64_t> wanted;
  for (size_t row = 0; row < batch_.rows.size(); ++row) {
    const Slots& slots = SlotsOfRow(static_cast<int64_t>(row));
    for (size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].dense) wanted.push_back(first_slot_[row] + static_cast<int64_t>(i));
    }
  }
  if (wanted.empty()) return {};
  const at::Tensor index = at::tensor(at::IntArrayRef(wanted)).to(pooled_SD_.device());
  return replica_.transformer->Dense(pooled_SD_.index_select(0, index));
}

Runner::Vectors PoolCollector::Finish(const std::function<at::Tensor(const at::Tensor&)>& to_host) {
  RunHead();
  const at::Tensor dense = Dense();
  const at::Tensor pooled = pooled_SD_.flatten();
  const at::Tensor host = to_host(dense.defined() ? at::cat({pooled, dense.flatten()}) : pooled);
  const int64_t width = pooled_SD_.size(1), dense_width = dense.defined() ? dense.size(1) : 0;
  const float* next_pooled = host.const_data_ptr<float>();
  const float* next_dense = next_pooled + pooled.numel();
  Runner::Vectors rows(batch_.rows.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    for (const PoolSlot& slot : SlotsOfRow(static_cast<int64_t>(row))) {
      rows[row].push_back(slot.dense ? std::vector<float>(next_dense, next_dense + dense_width)
                                     : std::vector<float>(next_pooled, next_pooled + width));
      next_pooled += width;
      if (slot.dense) next_dense += dense_width;
    }
  }
  return rows;
}

}  // namespace midlayer
