// A selection: the layer that a criterion chose for a model on a data set.
#ifndef MIDLAYER_SERVER_SELECTION_RECORD_H_
#define MIDLAYER_SERVER_SELECTION_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlayer {

struct SelectionRecord {
  std::string id;  // SelectionId() of this record
  int layer = 0;
  std::string pooling;
  std::string state;
  std::string criterion;
  std::string metric;  // what `value` is a value of
  double value = 0;
  std::string dataset_digest;
  std::string options_digest;
  std::string model_fingerprint;  // of the chosen layer
  std::string cache_key;          // digest of model, data set and options: finds the report of the same question
  std::string evidence;           // "spectral", "self_retrieval" or "task"
  std::string confidence;         // may be empty
  int64_t created_unix_seconds = 0;
  std::string reason;  // may be empty

  bool operator==(const SelectionRecord&) const = default;
};

// 64 lower-case hexadecimal digits: SHA-256 over what was asked (fingerprint of the layer, criterion, digests of data
// set and options) and what came out (layer, pooling, state, metric, value). Of the value 9 significant digits count,
// so that two servers that sum in another order agree. `id` and the other fields do not count.
std::string SelectionId(const SelectionRecord& record);

// INVALID_ARGUMENT where `id` has not the form of an id.
absl::Status CheckSelectionId(std::string_view id);

// INVALID_ARGUMENT, naming the field, where the record cannot be stored: an empty field (but confidence and reason),
// text that is not UTF-8, a negative layer or time, a value that is not finite, an unknown evidence, an id that is not
// SelectionId().
absl::Status CheckSelection(const SelectionRecord& record);

// One JSON object; the keys are the names of the fields. The record must pass CheckSelection().
std::string SelectionToJson(const SelectionRecord& record);

// INVALID_ARGUMENT, naming the field, where one is missing, of another type, or refused by CheckSelection(): a record
// that was altered does not fit its id. Keys that are not known are left out: a newer server may share the store.
absl::StatusOr<SelectionRecord> SelectionFromJson(std::string_view json);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_RECORD_H_
