#include "server/engine/batch_queue.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/requests.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Rows of two requests, one a priority; a row is known by its text number.
class BatchQueueTest : public testing::Test {
 protected:
  void Push(BatchQueue& queue, const Tracked& to, int tokens, size_t text) {
    queue.Push(RowOf(to.request, tokens, text));
  }

  static std::vector<size_t> TextsOf(const std::vector<Row>& rows) {
    std::vector<size_t> texts;
    for (const Row& row : rows) texts.push_back(row.text);
    return texts;
  }

  std::vector<size_t> Take(BatchQueue& queue, int second = 0) { return TextsOf(queue.Take(Second(second))); }

  const Tracked interactive_ = Track(TaskOf(1000, 1, Priority::kInteractive));
  const Tracked bulk_ = Track(TaskOf(1000, 1, Priority::kBulk));
};

TEST_F(BatchQueueTest, FillsUpToTheBudgetInOrderOfArrival) {
  BatchQueue queue(10);
  const int tokens[] = {4, 5, 2, 1, 9, 10, 1};
  for (size_t i = 0; i < std::size(tokens); ++i) Push(queue, interactive_, tokens[i], i);
  EXPECT_EQ(queue.tokens(), 32);
  EXPECT_EQ(queue.rows(), 7);
  EXPECT_THAT(Take(queue), ElementsAre(0, 1)) << "row 3 would fit, but stands behind row 2";
  EXPECT_THAT(Take(queue), ElementsAre(2, 3));
  EXPECT_THAT(Take(queue), ElementsAre(4));
  EXPECT_THAT(Take(queue), ElementsAre(5)) << "exactly the budget";
  EXPECT_EQ(queue.tokens(), 1);
  EXPECT_THAT(Take(queue), ElementsAre(6));
  EXPECT_THAT(Take(queue), IsEmpty());
  EXPECT_EQ(queue.tokens(), 0);
  EXPECT_EQ(queue.rows(), 0);
}

TEST_F(BatchQueueTest, ARowLargerThanTheBudgetGoesAloneOrFirst) {
  BatchQueue queue(10);
  Push(queue, interactive_, 25, 0);
  Push(queue, interactive_, 1, 1);
  Push(queue, interactive_, 25, 2);
  EXPECT_THAT(Take(queue), ElementsAre(0));
  EXPECT_THAT(Take(queue), ElementsAre(1));
  EXPECT_THAT(Take(queue), ElementsAre(2));
}

TEST_F(BatchQueueTest, InteractiveGoesFirstAndBulkGetsAnEighth) {
  BatchQueue queue(80);
  for (size_t i = 0; i < 4; ++i) Push(queue, bulk_, 4, 100 + i);
  for (size_t i = 0; i < 9; ++i) Push(queue, interactive_, 10, i);
  EXPECT_THAT(Take(queue), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 100, 101)) << "80 tokens, and 8 of 10 for bulk";
  EXPECT_THAT(Take(queue), ElementsAre(8, 102, 103));
}

TEST_F(BatchQueueTest, BulkAloneGetsTheWholeBudget) {
  BatchQueue queue(80);
  for (size_t i = 0; i < 9; ++i) Push(queue, bulk_, 10, i);
  EXPECT_THAT(Take(queue), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST_F(BatchQueueTest, BulkIsNotStarvedByEndlessInteractiveWork) {
  const struct {
    int bulk_tokens;
    int a_take;  // bulk rows in each batch
  } cases[] = {{1, 10}, {3, 3}, {10, 1}, {11, 1}, {500, 1}};
  for (const auto& test : cases) {
    SCOPED_TRACE(test.bulk_tokens);
    BatchQueue queue(80);
    for (size_t i = 0; i < 1000; ++i) Push(queue, bulk_, test.bulk_tokens, i);
    size_t served = 0;
    for (int take = 0; take < 100; ++take) {
      for (int i = 0; i < 20; ++i) Push(queue, interactive_, 10, 0);
      int bulk = 0;
      for (const Row& row : queue.Take(Second(0))) {
        if (row.request != bulk_.request) continue;
        EXPECT_EQ(row.text, served++) << "in order";
        ++bulk;
      }
      ASSERT_EQ(bulk, test.a_take) << "take " << take;
    }
  }
}

TEST_F(BatchQueueTest, RowsOfEndedRequestsAreDroppedAndCostNoBudget) {
  BatchQueue queue(10);
  const Tracked ended = Track(TaskOf(3));
  Push(queue, ended, 9, 0);
  Push(queue, interactive_, 5, 10);
  Push(queue, ended, 9, 1);
  Push(queue, interactive_, 5, 11);
  Push(queue, ended, 9, 2);
  ended.request->Cancel();
  EXPECT_EQ(queue.tokens(), 37) << "counted until they are looked at";
  EXPECT_THAT(Take(queue), ElementsAre(10, 11));
  EXPECT_EQ(queue.tokens(), 0);
  EXPECT_EQ(queue.rows(), 0);
  EXPECT_EQ(ended.outcome->times(), 1);
}

TEST_F(BatchQueueTest, IfAllInteractiveRowsEndedBulkHasTheWholeBudget) {
  BatchQueue queue(16);
  const Tracked ended = Track(TaskOf(1));
  Push(queue, ended, 9, 0);
  for (size_t i = 0; i < 4; ++i) Push(queue, bulk_, 4, i);
  ended.request->Cancel();
  EXPECT_THAT(Take(queue), ElementsAre(0, 1, 2, 3));
}

TEST_F(BatchQueueTest, ADeadlineThatPassedInTheQueueEndsTheRequest) {
  BatchQueue queue(10);
  EmbedTask task = TaskOf(2);
  task.deadline = Second(100);
  const Tracked late = Track(task);
  queue.Push(RowOf(late.request, 5, 0, Second(70)));
  queue.Push(RowOf(late.request, 5, 1, Second(70)));
  Push(queue, interactive_, 5, 10);
  EXPECT_THAT(TextsOf(queue.Take(Second(100) - absl::Nanoseconds(1))), ElementsAre(0, 1)) << "not yet";
  queue.Push(RowOf(late.request, 5, 1, Second(70)));
  EXPECT_EQ(late.outcome->times(), 0);
  EXPECT_THAT(Take(queue, 100), ElementsAre(10));
  EXPECT_EQ(late.outcome->times(), 1);
  const absl::Status status = late.outcome->status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the deadline passed after 30s in the queue"));
  EXPECT_EQ(queue.tokens(), 0);
}

TEST_F(BatchQueueTest, HasFullBatchCountsBothLines) {
  BatchQueue queue(10);
  EXPECT_FALSE(queue.HasFullBatch());
  Push(queue, interactive_, 5, 0);
  Push(queue, bulk_, 4, 1);
  EXPECT_FALSE(queue.HasFullBatch());
  Push(queue, bulk_, 1, 2);
  EXPECT_TRUE(queue.HasFullBatch());
}

}  // namespace
}  // namespace midlayer
