// Data sets that lie on the server.
#ifndef MIDLAYER_SERVER_SERVICE_NAMED_DATASET_H_
#define MIDLAYER_SERVER_SERVICE_NAMED_DATASET_H_

#include <string>

#include "absl/status/status.h"
#include "server/base/cancelled.h"
#include "server/engine/dataset.h"

namespace midlayer {

// Adds the examples of DIRECTORY/NAME.jsonl: one Example of scoring.proto a line, in protobuf's JSON form; fields that
// Example does not have are left out, empty lines too. NOT_FOUND where there is none of that name, INVALID_ARGUMENT
// where the name leads elsewhere, or naming the line that is wrong, CANCELLED before the line after `cancelled` says
// so.
absl::Status ReadNamedDataset(const std::string& directory, const std::string& name, DatasetBuilder& builder,
                              const Cancelled& cancelled);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_NAMED_DATASET_H_
