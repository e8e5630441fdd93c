#include "server/engine/batch_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace midlayer {

namespace {

constexpr int64_t kLaterShare = 8;  // lines behind the first get one part in so many

}  // namespace

bool IsWanted(const Row& row, absl::Time now) {
  if (row.request->task.deadline <= now) {
    row.request->Fail(absl::DeadlineExceededError(
        absl::StrCat("the deadline passed after ", absl::FormatDuration(now - row.queued), " in the queue")));
    return false;
  }
  return !row.request->Ended();
}

void BatchQueue::Push(Row row) {
  tokens_ += row.tokens();
  lines_[static_cast<size_t>(row.request->task.priority)].push_back(std::move(row));
}

std::vector<Row> BatchQueue::Take(absl::Time now) {
  std::vector<Row> batch;
  for (std::deque<Row>& line : lines_) {
    Fill(line, batch.empty() ? batch_tokens_ : batch_tokens_ / kLaterShare, now, batch);
  }
  return batch;
}

void BatchQueue::Fill(std::deque<Row>& line, int64_t budget, absl::Time now, std::vector<Row>& batch) {
  int64_t taken = 0;
  while (!line.empty()) {
    Row& row = line.front();
    const int64_t tokens = row.tokens();
    if (IsWanted(row, now)) {
      if (taken > 0 && taken + tokens > budget) return;
      taken += tokens;
      batch.push_back(std::move(row));
    }
    line.pop_front();
    tokens_ -= tokens;
  }
}

int64_t BatchQueue::rows() const {
  size_t rows = 0;
  for (const std::deque<Row>& line : lines_) rows += line.size();
  return static_cast<int64_t>(rows);
}

}  // namespace midlayer
