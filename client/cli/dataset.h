// Data sets on disk, or on standard input, as a stream of examples.
#ifndef MIDLAYER_CLIENT_CLI_DATASET_H_
#define MIDLAYER_CLIENT_CLI_DATASET_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/console.h"
#include "client/cli/example_parser.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

enum class DatasetFormat { kJsonLines, kCsv, kText };

struct DatasetOptions {
  std::string dataset;                  // a file; "-": standard input
  std::string passages;                 // a second file of passages (id, text); empty: none
  std::optional<DatasetFormat> format;  // of `dataset`; unset: by its ending, else by its first character
  FieldNames fields;                    // of both files
};

// Lines and records longer than this are errors.
inline constexpr size_t kMaxExampleBytes = 50'000'000;

// The examples of the files, in order, passages last. Not thread-safe; may be used on another thread than it was made.
class Dataset {
 public:
  virtual ~Dataset() = default;

  // Reads the next example into *example. False at the end. May block. INVALID_ARGUMENT, naming file, line and field:
  // not JSON, not CSV, not UTF-8, too long, a field that is missing or of the wrong kind, a file without examples.
  virtual absl::StatusOr<bool> Next(v1::Example* example) = 0;
};

// Opens the files. The streams of `console` must outlive the data set. NOT_FOUND where a file cannot be read.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_DATASET_H_
