#include "server/base/read_file.h"

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace midlayer {

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return absl::NotFoundError(absl::StrCat(file.string(), ": file not found or not readable"));
  return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
}

}  // namespace midlayer
