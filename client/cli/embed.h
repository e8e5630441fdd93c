// The command `midlayer embed`.
#ifndef MIDLAYER_CLIENT_CLI_EMBED_H_
#define MIDLAYER_CLIENT_CLI_EMBED_H_

#include <optional>
#include <string>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/console.h"
#include "client/cli/request_options.h"
#include "client/cli/text_source.h"
#include "client/cli/writers.h"

namespace midlayer::cli {

struct EmbedOptions {
  ConnectionOptions connection;
  TextOptions text;
  OutputOptions output;
  OutputFormat format = OutputFormat::kJson;
  std::vector<std::string> texts;           // a single "-": standard input
  std::string input;                        // a file in place of `texts`; "-": standard input
  std::optional<InputFormat> input_format;  // unset: by the ending of `input`, else kText
  int batch = 32;                           // texts a message, >= 1
};

// Embeds all texts and writes them to console.out as the answers come, in the order of the input. A text that fails is
// reported on console.err with its line, and the others go on. Returns an ExitCode.
int RunEmbed(const EmbedOptions& options, const Console& console);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_EMBED_H_
