// The policy of batching, apart from threads and clocks: which rows go next.
#ifndef MIDLAYER_SERVER_ENGINE_BATCH_QUEUE_H_
#define MIDLAYER_SERVER_ENGINE_BATCH_QUEUE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/time/time.h"
#include "server/engine/request.h"

namespace midlayer {

// Whether the row still has to be computed: its request has not ended. One past its deadline at `now` is ended here,
// with DEADLINE_EXCEEDED.
bool IsWanted(const Row& row, absl::Time now);

// Rows in order of arrival, one line for each priority. Not thread-safe.
//
// A batch is filled up to a budget of tokens from the first line that has rows. Each line behind it then adds up to an
// eighth of the budget, and at least one row: bulk work never starves, and an interactive request waits for little of
// it. A row larger than the budget goes alone, or first.
class BatchQueue {
 public:
  explicit BatchQueue(int64_t batch_tokens) : batch_tokens_(batch_tokens) {}

  void Push(Row row);

  // The next batch, empty where nothing waits. Rows of ended requests are dropped, and requests past their deadline at
  // `now` are ended with DEADLINE_EXCEEDED: neither costs compute.
  std::vector<Row> Take(absl::Time now);

  // Whether there is enough for a batch that waiting could not make fuller.
  bool HasFullBatch() const { return tokens_ >= batch_tokens_; }
  // Waiting, rows of ended requests included.
  int64_t tokens() const { return tokens_; }
  int64_t rows() const;

 private:
  // Moves rows from `line` to `batch` while these take at most `budget` tokens; the first passes anyway.
  void Fill(std::deque<Row>& line, int64_t budget, absl::Time now, std::vector<Row>& batch);

  const int64_t batch_tokens_;
  std::array<std::deque<Row>, kPriorities> lines_;
  int64_t tokens_ = 0;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_BATCH_QUEUE_H_
