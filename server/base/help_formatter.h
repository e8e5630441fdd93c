// Help texts of the programs, wrapped to 100 columns, and the names of their environment variables.
#ifndef MIDLAYER_SERVER_BASE_HELP_FORMATTER_H_
#define MIDLAYER_SERVER_BASE_HELP_FORMATTER_H_

#include <CLI/CLI.hpp>
#include <string>

namespace midlayer {

// Each flag on a line of its own with its default and its environment variable, then what it does, indented and
// wrapped.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* app) const override;
};

// The environment variable of a flag: "--max-layer" -> "MIDLAYER_MAX_LAYER".
std::string EnvironmentName(const std::string& flag);

// `text` in lines of at most `width` columns, each after `indent` blanks, broken at blanks; lines of `text` that begin
// with a blank stay as they are.
std::string Wrap(const std::string& text, size_t indent, size_t width);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_HELP_FORMATTER_H_
