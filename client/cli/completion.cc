#include "client/cli/completion.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace midlayer::cli {
namespace {

struct Flag {
  std::string name;                // "--layer"
  std::string about;               // the first sentence of its help
  bool takes_value = false;        // else it is a switch
  bool takes_file = false;         // its value is a file
  std::vector<std::string> words;  // that its value may be; empty: anything
};

struct Node {
  std::string path;  // "midlayer selections list"
  std::string about;
  std::vector<std::string> commands;  // the words that may follow
  std::vector<Flag> flags;
};

std::string FirstSentence(const std::string& text) {
  const size_t end = std::min(text.find(". "), text.find('\n'));
  std::string sentence = text.substr(0, end);
  if (sentence.ends_with('.')) sentence.pop_back();
  return sentence;
}

Flag ToFlag(const CLI::Option& option) {
  Flag flag = {.name = "--" + option.get_lnames()[0],
               .about = FirstSentence(option.get_description()),
               .takes_value = option.get_items_expected_max() > 0};
  const std::string type = option.get_type_name();
  flag.takes_file = type == "FILE" || type == "DIRECTORY";
  if (type.find('|') != std::string::npos) {
    for (size_t begin = 0; begin <= type.size();) {
      const size_t end = std::min(type.find('|', begin), type.size());
      flag.words.push_back(type.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return flag;
}

// `app` and all below it, parents first.
void Collect(const CLI::App& app, const std::string& path, std::vector<Node>* nodes) {
  Node node = {.path = path, .about = FirstSentence(app.get_description())};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_lnames().empty()) node.flags.push_back(ToFlag(*option));
  }
  const std::vector<const CLI::App*> commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) node.commands.push_back(command->get_name());
  nodes->push_back(std::move(node));
  for (const CLI::App* command : commands) Collect(*command, absl::StrCat(path, " ", command->get_name()), nodes);
}

// What completes the word after these, as a condition and an action of bash.
std::string BashWord(const Node& node) {
  std::vector<std::string> words = node.commands;
  for (const Flag& flag : node.flags) words.push_back(flag.name);
  return absl::StrCat("    \"", node.path, "\") words=\"", absl::StrJoin(words, " "), "\" ;;\n");
}

std::string BashValues(const Node& node) {
  std::string cases;
  for (const Flag& flag : node.flags) {
    if (!flag.takes_value) continue;
    absl::StrAppend(&cases, "    \"", node.path, " ", flag.name, "\") ",
                    flag.takes_file ? std::string("kind=file")
                                    : absl::StrCat("kind=value words=\"", absl::StrJoin(flag.words, " "), "\""),
                    " ;;\n");
  }
  return cases;
}

std::string BashScript(const std::vector<Node>& nodes) {
  std::string paths, values, words;
  for (const Node& node : nodes) {
    if (&node != &nodes[0]) absl::StrAppend(&paths, &node == &nodes[1] ? "" : " | ", "\"", node.path, "\"");
    values += BashValues(node);
    words += BashWord(node);
  }
  return absl::StrReplaceAll(R"(# Completion of the command $PROGRAM for bash.
_$PROGRAM() {
  local command=$PROGRAM current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} word words="" kind=word prefix=""
  # "--flag=value" comes as three words from bash, and as one from zsh.
  case "$current" in
    =) current="" ;;
    --*=*) before=${current%%=*} prefix="${current%%=*}=" current=${current#*=} ;;
    *) if [ "$before" = "=" ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi ;;
  esac
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    case "$command $word" in
      $PATHS) command="$command $word" ;;
    esac
  done
  case "$command $before" in
$VALUES  esac
  if [ $kind = word ]; then case "$command" in
$WORDS  esac; fi
  if [ $kind = file ]; then
    local IFS=$'\n'
    COMPREPLY=($(compgen -P "$prefix" -f -- "$current"))
  else COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$current"))
  fi
}
complete -o filenames -o default -F _$PROGRAM $PROGRAM
)",
                             {{"$PROGRAM", nodes[0].path}, {"$PATHS", paths}, {"$VALUES", values}, {"$WORDS", words}});
}

std::string Quote(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// True in fish while exactly the words of `node` were typed, whatever flags stand between.
std::string FishCondition(const Node& node) {
  const size_t space = node.path.find(' ');
  std::string condition = space == std::string::npos
                              ? "__fish_use_subcommand"
                              : absl::StrCat("__fish_seen_subcommand_from ",
                                             absl::StrReplaceAll(node.path.substr(space + 1),
                                                                 {{" ", "; and __fish_seen_subcommand_from "}}));
  if (space != std::string::npos && !node.commands.empty()) {
    absl::StrAppend(&condition, "; and not __fish_seen_subcommand_from ", absl::StrJoin(node.commands, " "));
  }
  return Quote(condition);
}

std::string FishScript(const std::vector<Node>& nodes) {
  const std::string& program = nodes[0].path;
  std::string script =
      absl::StrCat("# Completion of the command ", program, " for fish.\ncomplete -c ", program, " -f\n");
  for (const Node& node : nodes) {
    const std::string begin = absl::StrCat("complete -c ", program, " -n ", FishCondition(node));
    for (const std::string& command : node.commands) {
      const auto child = std::ranges::find(nodes, absl::StrCat(node.path, " ", command), &Node::path);
      absl::StrAppend(&script, begin, " -a ", command, " -d ", Quote(child->about), "\n");
    }
    for (const Flag& flag : node.flags) {
      absl::StrAppend(&script, begin, " -l ", flag.name.substr(2),
                      flag.takes_file    ? " -r -F"
                      : flag.takes_value ? absl::StrCat(" -x -a ", Quote(absl::StrJoin(flag.words, " ")))
                                         : "",
                      " -d ", Quote(flag.about), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, Shell shell) {
  std::vector<Node> nodes;
  Collect(app, app.get_name(), &nodes);
  switch (shell) {
    case Shell::kBash:
      return BashScript(nodes);
    case Shell::kZsh:  // which understands bash's
      return "autoload -U +X bashcompinit && bashcompinit\n" + BashScript(nodes);
    case Shell::kFish:
      return FishScript(nodes);
  }
  return "";
}

}  // namespace midlayer::cli
