// Rows put together for one pass of the model. No torch.
#ifndef MIDLAYER_SERVER_ENGINE_BATCH_H_
#define MIDLAYER_SERVER_ENGINE_BATCH_H_

#include <vector>

#include "absl/time/time.h"
#include "server/engine/request.h"
#include "server/models/packed_tokens.h"

namespace midlayer {

struct Batch {
  std::vector<Row> rows;  // deepest first, then by length: see PackedTokens and RowGroup
  PackedTokens packed;
  absl::Time assembled;
};

Batch Assemble(std::vector<Row> rows, absl::Time now);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_ENGINE_BATCH_H_
