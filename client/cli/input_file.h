// Opens what a command reads: a file, or standard input.
#ifndef MIDLAYER_CLIENT_CLI_INPUT_FILE_H_
#define MIDLAYER_CLIENT_CLI_INPUT_FILE_H_

#include <istream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/console.h"

namespace midlayer::cli {

struct InputFile {
  std::shared_ptr<std::istream> in;  // not owned where it is standard input
  double bytes = 0;                  // its size, 0 where it is not a plain file
};

// `path`: "-" is console.in. NOT_FOUND where the file cannot be read.
absl::StatusOr<InputFile> OpenInput(const std::string& path, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_INPUT_FILE_H_
