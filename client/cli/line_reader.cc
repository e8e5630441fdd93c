#include "client/cli/line_reader.h"

#include <string_view>

namespace midlayer::cli {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

bool IsBlank(const std::string& line) { return line.find_first_not_of(" \t") == std::string::npos; }

bool LineReader::Next(std::string* line) {
  std::streambuf& buffer = *in_->rdbuf();
  line->clear();
  too_long_ = false;
  int byte = buffer.sbumpc();
  if (byte == std::char_traits<char>::eof()) return false;
  for (; byte != std::char_traits<char>::eof(); byte = buffer.sbumpc()) {
    ++position_;
    if (byte == '\n') break;
    if (line->size() < max_bytes_) {
      *line += static_cast<char>(byte);
    } else {
      too_long_ = true;
    }
  }
  ++number_;
  if (number_ == 1 && line->starts_with(kByteOrderMark)) line->erase(0, kByteOrderMark.size());
  if (line->ends_with('\r')) line->pop_back();
  return true;
}

}  // namespace midlayer::cli
