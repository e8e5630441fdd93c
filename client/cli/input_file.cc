#include "client/cli/input_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace midlayer::cli {

absl::StatusOr<InputFile> OpenInput(const std::string& path, const Console& console) {
  if (path == "-") return InputFile{{std::shared_ptr<void>(), console.in}, console.in_bytes};
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": Is a directory"));
  }
  auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  if (!file->is_open()) return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  const bool is_plain = std::filesystem::is_regular_file(path, error);
  const double bytes = is_plain ? static_cast<double>(std::filesystem::file_size(path, error)) : 0;
  return InputFile{std::move(file), bytes};
}

}  // namespace midlayer::cli
