#include "client/cli/csv_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

constexpr int kEnd = std::char_traits<char>::eof();

}  // namespace

// The next byte; a line end of two bytes comes as one '\n'.
int CsvReader::Get() {
  int byte = in_.sbumpc();
  if (byte == '\r' && in_.sgetc() == '\n') byte = in_.sbumpc();
  if (byte == '\n') ++next_line_;
  if (byte != kEnd) ++bytes_;
  return byte;
}

// Reads what follows an opening quote. What comes back ended the field: a comma, a line end, or the end of the input.
absl::StatusOr<int> CsvReader::ReadQuoted(std::string* field) {
  while (bytes_ <= max_bytes_) {
    int byte = Get();
    if (byte == kEnd) return absl::InvalidArgumentError("a quote that is not closed");
    if (byte == '"') {
      byte = Get();
      if (byte == ',' || byte == '\n' || byte == kEnd) return byte;
      if (byte != '"') {
        return absl::InvalidArgumentError("expected a comma after a closing quote; quotes in a field are doubled");
      }
    }
    *field += static_cast<char>(byte);
  }
  return ',';
}

absl::StatusOr<int> CsvReader::ReadField(std::string* field) {
  if (field->empty() && in_.sgetc() == '"') {
    Get();
    return ReadQuoted(field);
  }
  while (bytes_ <= max_bytes_) {
    const int byte = Get();
    if (byte == ',' || byte == '\n' || byte == kEnd) return byte;
    *field += static_cast<char>(byte);
  }
  return ',';
}

// Skips a byte order mark. Returns what only began like one: it belongs to the first field.
std::string CsvReader::SkipMark() {
  std::string read;
  for (const int mark : {0xEF, 0xBB, 0xBF}) {
    if (in_.sgetc() != mark) return read;
    read += static_cast<char>(in_.sbumpc());
  }
  return "";
}

absl::StatusOr<bool> CsvReader::Next(std::vector<std::string>* fields) {
  std::string start = next_line_ == 1 ? SkipMark() : "";
  int end = '\n';
  do {
    fields->clear();
    bytes_ = start.size();
    line_ = next_line_;
    do {
      MIDLAYER_ASSIGN_OR_RETURN(end, ReadField(&fields->emplace_back(std::exchange(start, ""))));
      if (bytes_ > max_bytes_) {
        return absl::InvalidArgumentError(absl::StrCat("longer than ", max_bytes_ / 1'000'000, " MB"));
      }
    } while (end == ',');
  } while (end == '\n' && fields->size() == 1 && fields->front().empty());
  return end != kEnd || bytes_ > 0;
}

}  // namespace midlayer::cli
