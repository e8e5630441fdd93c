// The command `midlayer info`.
#ifndef MIDLAYER_CLIENT_CLI_INFO_H_
#define MIDLAYER_CLIENT_CLI_INFO_H_

#include <string>

#include "client/cli/connection.h"
#include "client/cli/console.h"

namespace midlayer::cli {

struct InfoOptions {
  ConnectionOptions connection;
  bool json = false;  // GetModelResponse as JSON, else for people
};

// Prints what the server says of its model and its limits. Returns an ExitCode.
int RunInfo(const InfoOptions& options, const Console& console);

// The block for people: a line for each property.
std::string FormatModel(const v1::GetModelResponse& model);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_INFO_H_
