// The command `midlayer health`.
#ifndef MIDLAYER_CLIENT_CLI_HEALTH_H_
#define MIDLAYER_CLIENT_CLI_HEALTH_H_

#include <string>

#include "client/cli/connection.h"
#include "client/cli/console.h"

namespace midlayer::cli {

struct HealthOptions {
  ConnectionOptions connection;
  std::string service;  // empty: the server as a whole
};

// Asks grpc.health.v1.Health/Check and prints SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN. Returns an ExitCode:
// kExitOk for SERVING only.
int RunHealth(const HealthOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_HEALTH_H_
