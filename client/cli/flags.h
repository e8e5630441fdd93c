// The command line of `midlayer`.
#ifndef MIDLAYER_CLIENT_CLI_FLAGS_H_
#define MIDLAYER_CLIENT_CLI_FLAGS_H_

#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "client/cli/bench.h"
#include "client/cli/compare.h"
#include "client/cli/embed.h"
#include "client/cli/health.h"
#include "client/cli/info.h"
#include "client/cli/score.h"
#include "client/cli/selections.h"
#include "client/cli/similarity.h"

namespace midlayer::cli {

// What the command line asks for: a command with its options, or an exit code where all is said already.
using Command = std::variant<int, EmbedOptions, SimilarityOptions, InfoOptions, HealthOptions, ScoreOptions,
                             ReportOptions, SelectionsOptions, CompareOptions, BenchOptions>;

// Parses the arguments (without the program's name) and the environment variables MIDLAYER_…. Help and version go to
// `out`, and the exit code is kExitOk; what is wrong goes to `err` in one line, and it is kExitUsage.
Command ParseCommand(std::vector<std::string> arguments, std::ostream& out, std::ostream& err);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_FLAGS_H_
