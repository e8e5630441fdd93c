// The examples of a scoring run: checked as they come, drawn from, digested. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_DATASET_H_
#define MIDLAYER_SERVER_ENGINE_DATASET_H_

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/digest.h"
#include "server/engine/score_task.h"

namespace midlayer {

struct Dataset {
  std::vector<Example> examples;  // in the order of the input
  std::vector<uint64_t> indices;  // their places in the input
  uint64_t received = 0;
  std::string digest;  // SHA-256 of all that was received, in order

  // What is known of every example that is no passage.
  bool labelled = false;   // label
  bool scored = false;     // paired_text and score
  bool retrieval = false;  // relevant_ids, or paired_text without score
};

// Usage: Add() for every example, then Finish() once. Not thread-safe.
class DatasetBuilder {
 public:
  struct Limits {
    int64_t max_examples = 100'000;
    int64_t max_bytes = 256 << 20;  // what holds them counts too
    int max_text_bytes = 1 << 20;
  };

  explicit DatasetBuilder(const Limits& limits) : limits_(limits) {}

  // INVALID_ARGUMENT names the example by its place (from 0), the field, what was expected and what came;
  // RESOURCE_EXHAUSTED where it is one too many.
  absl::Status Add(Example example);

  // Checks what only the whole shows (labels missing on some, one class, unknown relevant_ids, fewer than 2 texts), and
  // draws `sample_size` examples by `seed`. Nothing is drawn for retrieval: leaving a passage out would change the
  // task.
  absl::StatusOr<Dataset> Finish(int64_t sample_size, uint64_t seed);

  uint64_t received() const { return examples_.size(); }

 private:
  absl::Status Check(const Example& example) const;
  void Digest(const Example& example);
  absl::StatusOr<bool> AllOrNone(const char* field, bool (*has)(const Example&)) const;
  absl::Status CheckLabels() const;
  absl::Status CheckRelevant() const;

  const Limits limits_;
  std::vector<Example> examples_;
  std::unordered_set<std::string> passage_ids_;
  int64_t bytes_ = 0;
  Sha256 digest_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_DATASET_H_
