#include "server/base/help_formatter.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/text_width.h"

namespace midlayer {
namespace {

constexpr size_t kLineWidth = 100;

std::string WrapLine(const std::string& text, size_t indent, size_t width) {
  const std::string margin(indent, ' ');
  std::string wrapped;
  std::string line = margin;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (line.size() > indent && Width(line) + 1 + word.size() > width) {
      absl::StrAppend(&wrapped, line, "\n");
      line = margin;
    }
    absl::StrAppend(&line, line.size() > indent ? " " : "", word);
  }
  return absl::StrCat(wrapped, line, "\n");
}

}  // namespace

std::string EnvironmentName(const std::string& flag) {
  std::string name = "MIDLAYER_" + flag.substr(2);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::string Wrap(const std::string& text, size_t indent, size_t width) {
  std::string wrapped;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    if (line.empty() || line.starts_with(' ')) {
      absl::StrAppend(&wrapped, line.empty() ? std::string() : std::string(indent, ' '), line, "\n");
    } else {
      wrapped += WrapLine(line, indent, width);
    }
  }
  return wrapped;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  return absl::StrReplaceAll(CLI::Formatter::make_help(app, std::move(name), mode), {{"\n\n\n", "\n\n"}});
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  return absl::StrCat("\n", CLI::Formatter::make_usage(app, std::move(name)));
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string head = absl::StrCat("  ", make_option_name(option, is_positional));
  // A flag has an expected size of 0 and needs no value, but takes one after "=".
  if (!is_positional && !option->get_type_name().empty()) {
    absl::StrAppend(&head, option->get_expected_max() == 0 ? "[=" : "=", option->get_type_name(),
                    option->get_expected_max() == 0 ? "]" : "");
  }
  if (!option->get_default_str().empty()) absl::StrAppend(&head, "  [default: ", option->get_default_str(), "]");
  if (!option->get_envname().empty()) absl::StrAppend(&head, "  [", option->get_envname(), "]");
  return absl::StrCat(head, "\n", Wrap(option->get_description(), 6, kLineWidth));
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  constexpr size_t kNameWidth = 14;
  std::string description = command->get_description();
  description.resize(std::min(description.find('\n'), description.size()));
  std::string wrapped = Wrap(description, kNameWidth, kLineWidth);
  const std::string name = PadRight(absl::StrCat("  ", command->get_name()), kNameWidth);
  return wrapped.replace(0, kNameWidth, name);
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return Wrap(app->get_description(), 0, kLineWidth);
}

}  // namespace midlayer
