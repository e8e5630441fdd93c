// Where texts come from: the command line, or lines of a file or of standard input.
#ifndef MIDLAYER_CLIENT_CLI_TEXT_SOURCE_H_
#define MIDLAYER_CLIENT_CLI_TEXT_SOURCE_H_

#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace midlayer::cli {

enum class InputFormat { kText, kJsonLines };

// A text, or what is wrong at the place where one was expected.
struct SourceText {
  int64_t line = 0;     // from 1: the line of the input, or the place among the arguments
  std::string text;     // UTF-8; empty where `status` is not OK
  absl::Status status;  // INVALID_ARGUMENT: not UTF-8, not JSON, no string "text", or too long a line
};

// Hands out texts one by one, in order. Not thread-safe.
class TextSource {
 public:
  virtual ~TextSource() = default;

  // Reads the next text, or the next error: both go to *text. False at the end of the input. May block.
  virtual bool Next(SourceText* text) = 0;

  // Whether Next() would find something without having to wait for it. False where that cannot be told.
  virtual bool HasMoreNow() = 0;

  // How much of the input was handed out, in the unit of total().
  virtual double position() const = 0;

  // The size of the whole input, 0 where it is not known.
  virtual double total() const = 0;
};

// The texts of the command line.
std::unique_ptr<TextSource> TextsFromArguments(std::vector<std::string> texts);

// Texts that were read before; they keep their lines.
std::unique_ptr<TextSource> TextsAgain(std::vector<SourceText> texts);

// Lines longer than this are errors: more than any server takes, and a file without line ends does not fill the memory.
inline constexpr size_t kMaxLineBytes = size_t{16} << 20;

// The lines of `in`, which ends them with "\n" or "\r\n"; the last may have no end. A byte order mark is skipped. Blank
// lines (nothing but blanks and tabs) are skipped and counted. `total_bytes`: the size of the input, 0 where unknown.
//   kText: each line is a text.
//   kJsonLines: each line is a JSON object whose member "text" is the text; other members are ignored.
std::unique_ptr<TextSource> TextsFromLines(std::shared_ptr<std::istream> in, InputFormat format, double total_bytes);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_TEXT_SOURCE_H_
