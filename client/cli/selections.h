// The command `midlayer selections`.
#ifndef MIDLAYER_CLIENT_CLI_SELECTIONS_H_
#define MIDLAYER_CLIENT_CLI_SELECTIONS_H_

#include <optional>
#include <string>

#include "client/cli/connection.h"
#include "client/cli/console.h"
#include "client/cli/report_output.h"

namespace midlayer::cli {

enum class SelectionsAction { kList, kShow, kPromote, kDelete };

// Ids shorter than this are not completed.
inline constexpr size_t kMinIdPrefix = 6;

struct SelectionsOptions {
  ConnectionOptions connection;
  SelectionsAction action = SelectionsAction::kList;
  std::string id;                          // or the beginning of one; "none" with kPromote: go back to none
  std::optional<std::string> expected_id;  // of kPromote; "none": that none is promoted
  bool force = false;                      // of kPromote
  bool yes = false;                        // of kDelete: else it only says what it would do
  ReportOutput output;                     // `html` only with kShow
};

// Does it, and prints the outcome. Returns an ExitCode.
int RunSelections(const SelectionsOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SELECTIONS_H_
