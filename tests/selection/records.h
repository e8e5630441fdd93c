// Selections for the tests of this folder.
#ifndef MIDLAYER_TESTS_SELECTION_RECORDS_H_
#define MIDLAYER_TESTS_SELECTION_RECORDS_H_

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/selection/record.h"

namespace midlayer {

inline std::string FingerprintOf(int layer) { return absl::StrCat("fingerprint of layer ", layer); }

// A record whose id no record with another number or author has. `number` is also its value.
inline SelectionRecord MakeRecord(int number, const std::string& author = "test") {
  SelectionRecord record;
  record.layer = number % 12;
  record.pooling = "mean";
  record.state = "raw";
  record.criterion = "prompt_entropy";
  record.metric = "prompt_entropy";
  record.value = number;
  record.dataset_digest = "data";
  record.options_digest = author;
  record.model_fingerprint = FingerprintOf(record.layer);
  record.cache_key = "key";
  record.evidence = "spectral";
  record.confidence = "high";
  record.created_unix_seconds = 1700000000 + number;
  record.reason = "lowest of 12 layers – by far";
  record.id = SelectionId(record);
  return record;
}

// Whether `condition` came true within half a minute.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SELECTION_RECORDS_H_
