// Comma-separated values as RFC 4180 has them.
#ifndef MIDLAYER_CLIENT_CLI_CSV_READER_H_
#define MIDLAYER_CLIENT_CLI_CSV_READER_H_

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlayer::cli {

// Reads records one by one: fields between commas, those in double quotes may hold commas, line ends and quotes
// (doubled). Lines end with "\n" or "\r\n". A byte order mark and empty lines are skipped. Not thread-safe. The stream
// must outlive it.
class CsvReader {
 public:
  // Records longer than `max_bytes` are errors.
  CsvReader(std::istream* in, size_t max_bytes) : in_(*in->rdbuf()), max_bytes_(max_bytes) {}

  // Reads the next record, at least one field. False at the end of the input. May block. INVALID_ARGUMENT: a quote that
  // is not closed, something between a closing quote and the comma, or too long a record; nothing can be read then.
  absl::StatusOr<bool> Next(std::vector<std::string>* fields);

  // The line on which the record read last begins, from 1.
  int64_t line() const { return line_; }

 private:
  std::string SkipMark();
  int Get();
  absl::StatusOr<int> ReadQuoted(std::string* field);
  absl::StatusOr<int> ReadField(std::string* field);

  std::streambuf& in_;
  const size_t max_bytes_;
  size_t bytes_ = 0;       // of this record
  int64_t line_ = 0;       // where it begins
  int64_t next_line_ = 1;  // where the next byte is
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_CSV_READER_H_
