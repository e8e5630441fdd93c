#ifndef MIDLAYER_SERVER_BASE_READ_FILE_H_
#define MIDLAYER_SERVER_BASE_READ_FILE_H_

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace midlayer {

// All bytes of a file. NOT_FOUND, naming it, where there is none or it cannot be read.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& file);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_READ_FILE_H_
