// Pieces of the command line that several commands share.
#ifndef MIDLAYER_CLIENT_CLI_FLAG_GROUP_H_
#define MIDLAYER_CLIENT_CLI_FLAG_GROUP_H_

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/connection.h"
#include "server/base/help_formatter.h"

namespace midlayer::cli {

// Adds flags of one group of a command's help text.
class Group {
 public:
  Group(CLI::App* command, std::string name) : command_(command), name_(std::move(name)) {}

  template <typename T>
  CLI::Option* Add(const std::string& flag, T& value, const std::string& type, const std::string& help) {
    return command_->add_option(flag, value, help)->type_name(type)->group(name_)->envname(EnvironmentName(flag));
  }

  // A flag whose words stand for values of an enum.
  template <typename T>
  CLI::Option* AddWord(const std::string& flag, T& value, const std::map<std::string, T>& words,
                       const std::string& help) {
    CLI::Option* option = Add(flag, value, "", help);
    SetWords(option, words);
    return option;
  }

  template <typename T>
  static void SetWords(CLI::Option* option, const std::map<std::string, T>& words) {
    std::string list;
    for (const auto& [word, unused] : words) absl::StrAppend(&list, list.empty() ? "" : "|", word);
    CLI::Validator check(
        [words, list](std::string& word) {
          const auto found = words.find(word);
          if (found == words.end()) return absl::StrCat("expected ", list, ", found \"", word, "\"");
          word = std::to_string(static_cast<int>(found->second));
          return std::string();
        },
        "");
    option->transform(check)->type_name(list);
  }

 private:
  CLI::App* command_;
  const std::string name_;
};

// A flag that is on or off; it has no environment variable.
void AddSwitch(CLI::App* command, const std::string& group, const std::string& flag, bool& value,
               const std::string& help);

// What is wrong with a value of --layer; empty for nothing.
std::string CheckLayer(const std::string& text);

// How the server is reached.
void AddConnectionFlags(CLI::App* command, ConnectionOptions& options);

// Arguments that CLI11 would take apart begin with this while it parses them (see ParseCommand); Unmark removes it.
inline constexpr char kMark = '\x01';
std::string Unmark(std::string argument);
std::vector<std::string> Unmark(std::vector<std::string> arguments);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_FLAG_GROUP_H_
