// Decompositions side by side: each alone is too small to be worth several threads.
#ifndef MIDLAYER_SERVER_SCORING_PARALLEL_H_
#define MIDLAYER_SERVER_SCORING_PARALLEL_H_

#include <ATen/Parallel.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/status.h"

namespace midlayer {

// work(0)...work(count - 1), on libtorch's threads, in no order. Ends soon after one of them fails, with its error.
template <typename T>
absl::StatusOr<std::vector<T>> ParallelMap(int64_t count, const std::function<absl::StatusOr<T>(int64_t)>& work) {
  std::vector<T> values(static_cast<size_t>(count));
  std::vector<absl::Status> statuses(values.size());
  std::atomic<bool> failed = false;
  at::parallel_for(0, count, 1, [&](int64_t first, int64_t end) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(end) && !failed; ++i) {
      absl::StatusOr<T> value = work(static_cast<int64_t>(i));
      statuses[i] = value.status();
      if (value.ok()) values[i] = *std::move(value);
      if (!statuses[i].ok()) failed = true;
    }
  });
  for (const absl::Status& status : statuses) MIDLAYER_RETURN_IF_ERROR(status);
  return values;
}

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_PARALLEL_H_
