// The forms in which `midlayer embed` writes vectors.
#ifndef MIDLAYER_CLIENT_CLI_WRITERS_H_
#define MIDLAYER_CLIENT_CLI_WRITERS_H_

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "midlayer/v1/embedding.pb.h"

namespace midlayer::cli {

enum class OutputFormat { kJson, kNpy, kTable };

// One text and its vector. Refers to memory of the caller.
struct Row {
  std::string_view text;
  uint32_t tokens = 0;
  bool truncated = false;
  const v1::OutputInfo* output = nullptr;
  std::span<const float> values;
};

// Writes rows in the order of the calls. Not thread-safe. The stream must outlive it.
class RowWriter {
 public:
  virtual ~RowWriter() = default;

  // INTERNAL where the row does not fit to those before it; UNKNOWN where the output failed.
  virtual absl::Status Write(const Row& row) = 0;

  // Completes the output; also after a failure elsewhere, so that what was written until then is whole. Once.
  virtual absl::Status Finish() = 0;
};

// kJson: one object a line, {"text":…,"layer":3,"pooling":"mean","tokens":7,"embedding":[…]}. Each number is the
// shortest
//   that reads back as the same float32. "layer" is a list where the output has several; "truncated":true follows
//   "tokens" where tokens were cut.
// kNpy: one float32 array (rows, dimensions) in NumPy's format 1.0. The number of rows stands in the header, before
//   them: where `seekable`, the header is written again at the end, else the rows wait in a temporary file ($TMPDIR).
// kTable: columns for people, 100 wide, and for 2 to 12 rows the matrix of their cosine similarities.
std::unique_ptr<RowWriter> MakeWriter(OutputFormat format, std::ostream* out, bool seekable);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_WRITERS_H_
