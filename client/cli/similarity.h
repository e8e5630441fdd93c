// The command `midlayer similarity`.
#ifndef MIDLAYER_CLIENT_CLI_SIMILARITY_H_
#define MIDLAYER_CLIENT_CLI_SIMILARITY_H_

#include <string>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/console.h"
#include "client/cli/request_options.h"

namespace midlayer::cli {

struct SimilarityOptions {
  ConnectionOptions connection;
  TextOptions text;
  std::vector<OutputOptions> outputs;  // the columns, 1 to 64
  std::vector<std::string> texts;      // at least 2
};

// Embeds the texts once, for all outputs, and prints the cosine of every pair. Returns an ExitCode.
int RunSimilarity(const SimilarityOptions& options, const Console& console);

// The table: a row for each pair of texts, a column for each output of the response, then a line with tokens and times
// (`seconds`: of the whole call). Lines are at most 100 columns wide; outputs that do not fit follow in further blocks.
// `response` must have an embedding for each text with a vector for each output.
std::string FormatSimilarity(const std::vector<std::string>& texts, const v1::EmbedResponse& response, double seconds);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SIMILARITY_H_
