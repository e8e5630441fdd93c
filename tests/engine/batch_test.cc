#include "server/engine/batch.h"

#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/requests.h"

namespace midlayer {
namespace {

using testing::ElementsAre;

TEST(AssembleTest, DeepestFirstThenShortestThenInOrderOfArrival) {
  // Layer, tokens; the text number is the place of arrival.
  const std::pair<int, int> arrived[] = {{1, 3}, {6, 4}, {3, 1}, {6, 2}, {3, 1}, {0, 1}, {6, 4}};
  std::vector<Row> rows;
  for (const auto& [layer, tokens] : arrived) {
    const size_t place = rows.size();
    rows.push_back(RowOf(Track(TaskOf(8, layer)).request, tokens, place));
  }
  const Batch batch = Assemble(std::move(rows), Second(5));
  std::vector<size_t> order;
  for (const Row& row : batch.rows) order.push_back(row.text);
  EXPECT_THAT(order, ElementsAre(3, 1, 6, 2, 4, 0, 5));
  EXPECT_THAT(batch.packed.last_layer, ElementsAre(6, 6, 6, 3, 3, 1, 0));
  EXPECT_THAT(batch.packed.offsets, ElementsAre(0, 2, 6, 10, 11, 12, 15, 16));
  EXPECT_THAT(batch.packed.ids, ElementsAre(3, 3, 1, 1, 1, 1, 6, 6, 6, 6, 2, 4, 0, 0, 0, 5));
  EXPECT_EQ(batch.packed.rows(), 7);
  EXPECT_EQ(batch.packed.tokens(), 16);
  EXPECT_EQ(batch.assembled, Second(5));
  const std::pair<int, int64_t> rows_at[] = {{0, 7}, {1, 6}, {2, 5}, {3, 5}, {4, 3}, {6, 3}, {7, 0}};
  for (const auto& [layer, expected] : rows_at) EXPECT_EQ(batch.packed.RowsAt(layer), expected) << "layer " << layer;
}

TEST(AssembleTest, TheDeepestLayerOfAllOutputsCounts) {
  EmbedTask task = TaskOf(1, 2);
  task.outputs.push_back(OutputSpec{.layers = {1, 5, 0}});
  const Batch batch = Assemble({RowOf(Track(TaskOf(1, 4)).request, 1, 0), RowOf(Track(task).request, 9, 1)}, Second(0));
  EXPECT_THAT(batch.packed.last_layer, ElementsAre(5, 4));
  EXPECT_EQ(batch.rows[0].text, 1u);
}

TEST(AssembleTest, OneRow) {
  const Batch batch = Assemble({RowOf(Track(TaskOf(1)).request, 3)}, Second(0));
  EXPECT_THAT(batch.packed.offsets, ElementsAre(0, 3));
  EXPECT_EQ(batch.packed.RowsAt(1), 1);
}

}  // namespace
}  // namespace midlayer
