#include "server/engine/batch.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace midlayer {

Batch Assemble(std::vector<Row> rows, absl::Time now) {
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tuple(-a.request->last_layer, a.tokens()) < std::tuple(-b.request->last_layer, b.tokens());
  });
  Batch batch{.rows = std::move(rows), .assembled = now};
  batch.packed.offsets.push_back(0);
  for (const Row& row : batch.rows) {
    batch.packed.ids.insert(batch.packed.ids.end(), row.ids.begin(), row.ids.end());
    batch.packed.offsets.push_back(batch.packed.tokens());
    batch.packed.last_layer.push_back(row.request->last_layer);
  }
  return batch;
}

}  // namespace midlayer
