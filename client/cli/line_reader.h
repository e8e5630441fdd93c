// Lines of a stream, of bounded length.
#ifndef MIDLAYER_CLIENT_CLI_LINE_READER_H_
#define MIDLAYER_CLIENT_CLI_LINE_READER_H_

#include <cstdint>
#include <istream>
#include <string>

namespace midlayer::cli {

// Whether a line has nothing but blanks and tabs.
bool IsBlank(const std::string& line);

// Reads the lines of a stream, which ends them with "\n" or "\r\n"; the last may have no end. A byte order mark is
// skipped. Not thread-safe. The stream must outlive it.
class LineReader {
 public:
  // What goes beyond `max_bytes` of a line is dropped, so that a file without line ends does not fill the memory.
  LineReader(std::istream* in, size_t max_bytes) : in_(in), max_bytes_(max_bytes) {}

  // Reads the next line into *line, without its end. False at the end of the input. May block.
  bool Next(std::string* line);

  // Of the line read last: whether it was longer than `max_bytes`, and its number, from 1.
  bool too_long() const { return too_long_; }
  int64_t number() const { return number_; }

  // The bytes read.
  double position() const { return position_; }

 private:
  std::istream* const in_;
  const size_t max_bytes_;
  bool too_long_ = false;
  int64_t number_ = 0;
  double position_ = 0;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_LINE_READER_H_
