// The command line of `midlayer`.
#ifndef MIDLAYER_CLIENT_CPP_FLAGS_H_
#define MIDLAYER_CLIENT_CPP_FLAGS_H_

#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "client/cpp/compare.h"
#include "client/cpp/embed.h"
#include "client/cpp/health.h"
#include "client/cpp/info.h"
#include "client/cpp/score.h"
#include "client/cpp/selections.h"
#include "client/cpp/similarity.h"

namespace midlayer::cli {

// What the command line asks for: a command with its options, or an exit code where all is said already.
using Command = std::variant<int, EmbedOptions, SimilarityOptions, InfoOptions, HealthOptions, ScoreOptions,
                             ReportOptions, SelectionsOptions, CompareOptions>;

// Parses the arguments (without the program's name) and the environment variables MIDLAYER_…. Help and version go to
// `out`, and the exit code is kExitOk; what is wrong goes to `err` in one line, and it is kExitUsage.
Command ParseCommand(std::vector<std::string> arguments, std::ostream& out, std::ostream& err);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CPP_FLAGS_H_
