// NumPy's file format 1.0; see MakeWriter.
#ifndef MIDLAYER_CLIENT_CLI_NPY_WRITER_H_
#define MIDLAYER_CLIENT_CLI_NPY_WRITER_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/writers.h"

namespace midlayer::cli {

// The header of a C-ordered little-endian float32 array (rows, dimensions): magic, version, padding. Always 128 bytes,
// so that it can be replaced.
std::string NpyHeader(int64_t rows, int64_t dimensions);

class NpyWriter : public RowWriter {
 public:
  NpyWriter(std::ostream* out, bool seekable);

  // UNKNOWN where the output or the temporary file failed; INTERNAL where the row has not as many values as the first.
  absl::Status Write(const Row& row) override;
  // Without any row the array is (0, 0).
  absl::Status Finish() override;

 private:
  absl::Status Begin(int64_t dimensions);
  absl::Status CopySpool();

  std::ostream* out_;
  const bool seekable_;
  std::streampos start_;                                                // of the header, where seekable_
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> spool_{nullptr, {}};  // the rows, where not seekable_
  int64_t rows_ = 0;
  int64_t dimensions_ = 0;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_NPY_WRITER_H_
