#include "server/base/read_file.h"

#include <fstream>

#include "absl/strings/str_cat.h"

namespace midlayer {

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string content;
  // read() fails where a file cannot be read, as a directory cannot; iterators would throw.
  for (char part[1 << 14]; stream.read(part, sizeof part), stream.gcount() > 0;) {
    content.append(part, static_cast<size_t>(stream.gcount()));
  }
  if (stream.eof()) return content;
  return absl::NotFoundError(absl::StrCat(file.string(), ": file not found or not readable"));
}

}  // namespace midlayer
