#include "client/cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/bench_flags.h"
#include "client/cli/completion.h"
#include "client/cli/flag_group.h"
#include "client/cli/names.h"
#include "client/cli/scoring_flags.h"
#include "server/base/help_formatter.h"
#include "server/base/version.h"

namespace midlayer::cli {
namespace {

constexpr size_t kMaxOutputs = 64;

constexpr char kAbout[] =
    "Embeddings from any layer of a transformer, from a midlayer-server.\n"
    "\n"
    "  midlayer similarity --layer=3 --layer=6 \"A man is eating food.\" \"A man eats a meal.\"\n"
    "  midlayer embed --layer=6 --input=texts.txt --output=npy > vectors.npy\n"
    "  midlayer score --dataset=labelled.jsonl --html=report.html";

constexpr char kFooter[] =
    "Flags are written --layer=3 or --layer 3. Each can be given by the environment variable named beside it\n"
    "as well; the command line wins. After -- everything is a text, also what begins with a dash.\n"
    "\n"
    "Exit codes: 0 all is done; 1 the server refused something, or something failed; 2 wrong usage;\n"
    "3 the server cannot be reached; 130 interrupted.";

constexpr char kCommandFooter[] = "Exit codes: see midlayer --help.";

constexpr char kEmbedAbout[] =
    "Embeds texts: from the command line, from a file, or from standard input (-).\n"
    "Texts go to the server in messages of --batch, with a bounded number of messages on the way, and each vector is "
    "written as it comes, in the order of the texts: inputs of any length need little memory. A text that fails is "
    "reported on standard error with its line and gets no vector; the others go on, and the exit code is 1.";

constexpr char kLayerHelp[] =
    "0 (the embeddings) to the model's number of blocks, or -1 for the last, -2 for the one before it, and so on; "
    "the server computes no block above it. \"selected\": the layer that was promoted on the server, else the "
    "last.";

// CLI11 2.1 takes some arguments apart: "[a, b]" would become two texts, "--prompt=" would take the next argument for
// its value, and after a first text "--" would end the command. So such arguments are marked before, and unmarked
// after.
std::vector<std::string> Mark(const std::vector<std::string>& arguments) {
  std::vector<std::string> marked;
  bool is_all_text = false;  // after "--"
  for (const std::string& argument : arguments) {
    if (is_all_text || (argument.starts_with('[') && argument.ends_with(']'))) {
      marked.push_back(kMark + argument);
    } else if (argument == "--") {
      is_all_text = true;
    } else if (argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
      marked.push_back(argument.substr(0, argument.size() - 1));
      marked.emplace_back();
    } else {
      marked.push_back(argument);
    }
  }
  return marked;
}

// All that the flags of all commands write to. Lives as long as the parser.
class Parser {
 public:
  Parser();

  CLI::App& app() { return app_; }
  // After the parser has succeeded. `wrong` stays empty where the flags fit together.
  Command Take(std::string* wrong);
  // What `midlayer completion` prints; empty for other commands.
  std::string Completion() const { return completion_->parsed() ? CompletionScript(app_, shell_) : ""; }

 private:
  void AddText(CLI::App* command, TextOptions& options);
  void AddEmbed();
  void AddEmbedInput();
  void AddSimilarity();
  void AddInfo();
  void AddHealth();
  void AddCompletion();
  Command TakeEmbed(std::string* wrong);
  Command TakeSimilarity(std::string* wrong);

  CLI::App app_{kAbout, "midlayer"};
  CLI::App* embed_ = nullptr;
  CLI::App* similarity_ = nullptr;
  CLI::App* info_ = nullptr;
  EmbedOptions embed_options_;
  std::string embed_layer_ = "selected";
  CLI::Option* embed_texts_ = nullptr;
  SimilarityOptions similarity_options_;
  std::vector<std::string> similarity_layers_;
  std::vector<v1::Pooling> similarity_poolings_;
  v1::State similarity_state_ = v1::STATE_RAW;
  CLI::Option* similarity_texts_ = nullptr;
  InfoOptions info_options_;
  HealthOptions health_options_;
  CLI::App* completion_ = nullptr;
  Shell shell_ = Shell::kBash;
  ScoringFlags scoring_{&app_};
  BenchFlags bench_{&app_};
};

Parser::Parser() {
  app_.formatter(std::make_shared<HelpFormatter>());
  app_.footer(kFooter);
  app_.set_help_flag("-h,--help", "Print this help.");
  app_.set_version_flag("--version", absl::StrCat("midlayer ", kVersion), "Print the version.");
  app_.require_subcommand(1);
  AddEmbed();
  AddSimilarity();
  scoring_.AddCommands();
  AddInfo();
  AddHealth();
  bench_.AddCommand();
  AddCompletion();
  for (CLI::App* command : app_.get_subcommands({})) {
    command->footer(kCommandFooter);
    for (CLI::App* action : command->get_subcommands({})) action->footer(kCommandFooter);
  }
}

void Parser::AddText(CLI::App* command, TextOptions& options) {
  Group group(command, "Texts");
  group
      .AddWord("--truncate", options.truncate, kTruncates,
               "What to do with a text of more tokens than the model takes: none refuses it, left cuts its beginning, "
               "right its end. Vectors of cut texts know nothing of what was cut.")
      ->default_str("none");
  CLI::Option* name = group.Add("--prompt-name", options.prompt_name, "NAME",
                                "Put this prompt of the model before each text; midlayer info lists them. Default: "
                                "the model's default prompt, mostly none.");
  group.Add("--prompt", options.prompt, "TEXT", "Put this before each text, as it is; \"\" for no prompt at all.")
      ->excludes(name);
}

void Parser::AddEmbed() {
  embed_ = app_.add_subcommand("embed", kEmbedAbout);
  embed_texts_ = embed_->add_option("TEXT", embed_options_.texts, "The texts; a single - reads standard input.");
  OutputOptions& output = embed_options_.output;
  Group vectors(embed_, "Vectors");
  vectors.Add("--layer", embed_layer_, "N", kLayerHelp)->capture_default_str()->check(CheckLayer);
  vectors.AddWord("--pooling", output.pooling, kPoolings,
                  "How the states of a text's tokens become one vector: the first token, the mean, the last token, the "
                  "largest value of each dimension, the mean weighted by position, or what a trained head of the "
                  "server makes. Default: the model's own.");
  vectors
      .AddWord("--state", output.state, kStates,
               "normed applies the model's final norm to a middle layer too, as if the model ended there; raw does "
               "not. The same for models without a final norm.")
      ->default_str("raw");
  embed_
      ->add_flag("--normalize", output.normalize,
                 "Scale vectors to length 1, so that a dot product is a cosine. --normalize=false keeps their length.")
      ->type_name("true|false")
      ->default_str("true")
      ->group("Vectors")
      ->envname("MIDLAYER_NORMALIZE");
  vectors
      .Add("--dimensions", output.dimensions, "N",
           "Keep only the first N dimensions. Smaller to store and faster to search, and worse unless the model was "
           "trained for it (Matryoshka). 0 keeps all.")
      ->capture_default_str();
  AddText(embed_, embed_options_.text);
  AddEmbedInput();
  AddConnectionFlags(embed_, embed_options_.connection);
}

void Parser::AddEmbedInput() {
  Group input(embed_, "Input and output");
  input
      .Add("--input", embed_options_.input, "FILE",
           "Read texts from the lines of this file; - is standard input. Lines must be UTF-8 and at most 16 MiB.")
      ->excludes(embed_texts_);
  static const std::map<std::string, InputFormat> kInputFormats = {{"text", InputFormat::kText},
                                                                   {"jsonl", InputFormat::kJsonLines}};
  input.AddWord("--input-format", embed_options_.input_format.emplace(), kInputFormats,
                "text: each line is a text, blank lines are skipped. jsonl: each line is a JSON object with the text "
                "in \"text\". Default: jsonl for files named .jsonl or .ndjson, else text.");
  static const std::map<std::string, OutputFormat> kOutputFormats = {
      {"json", OutputFormat::kJson}, {"npy", OutputFormat::kNpy}, {"table", OutputFormat::kTable}};
  input
      .AddWord("--output", embed_options_.format, kOutputFormats,
               "json: one object a line with text, layer, pooling, tokens and embedding; each number reads back as the "
               "same float32. npy: one NumPy array of float32 (texts, dimensions); into a pipe it comes only at the "
               "end, as it begins with the number of texts, and failed texts have no row. table: for people, with the "
               "cosine similarities of up to 12 texts.")
      ->default_str("json");
  input
      .Add("--batch", embed_options_.batch, "N",
           "Texts a message. More saves overhead on short texts; fewer gives first answers sooner. A message also ends "
           "at 1 MiB of text, and when the input pauses. The server takes 256 by default (--max-texts).")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536).description(""));
}

void Parser::AddSimilarity() {
  similarity_ = app_.add_subcommand(
      "similarity",
      "Compares texts: the cosine similarity of each pair, for one or several layers side by side.\n"
      "All layers and poolings come from one pass through the model, which stops at the deepest layer.");
  similarity_texts_ = similarity_->add_option("TEXT", similarity_options_.texts, "The texts, two or more.")->required();
  Group columns(similarity_, "Columns");
  columns
      .Add("--layer", similarity_layers_, "N",
           absl::StrCat("Repeat it for several: --layer=3 --layer=6, or --layer=3,6. ", kLayerHelp))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("selected")
      ->check(CheckLayer);
  CLI::Option* pooling = columns.Add("--pooling", similarity_poolings_, "",
                                     "Repeat it for several; each layer is then shown under each pooling. How the "
                                     "states of a text's tokens become one vector. Default: the model's own.");
  pooling->delimiter(',')->allow_extra_args(false);
  Group::SetWords(pooling, kPoolings);
  columns
      .AddWord("--state", similarity_state_, kStates,
               "normed applies the model's final norm to middle layers too; raw does not.")
      ->default_str("raw");
  AddText(similarity_, similarity_options_.text);
  AddConnectionFlags(similarity_, similarity_options_.connection);
}

void Parser::AddInfo() {
  info_ = app_.add_subcommand("info", "Describes the server's model: layers, pooling, prompts, selection, limits.");
  static const std::map<std::string, bool> kFormats = {{"table", false}, {"json", true}};
  Group(info_, "Output")
      .AddWord("--output", info_options_.json, kFormats, "table: for people. json: the GetModel answer as it is.")
      ->default_str("table")
      ->envname("MIDLAYER_INFO_OUTPUT");
  AddConnectionFlags(info_, info_options_.connection);
}

void Parser::AddHealth() {
  CLI::App* health =
      app_.add_subcommand("health", "Asks whether the server serves: prints SERVING (exit code 0) or NOT_SERVING (1).");
  Group(health, "Service")
      .Add("--service", health_options_.service, "NAME",
           "Ask for one service, for example midlayer.v1.EmbeddingService. Default: the server as a whole.");
  AddConnectionFlags(health, health_options_.connection);
}

void Parser::AddCompletion() {
  completion_ =
      app_.add_subcommand("completion",
                          "Prints what a shell needs to complete midlayer's commands, flags and their values.\n"
                          "\n"
                          "  bash   midlayer completion bash > ~/.local/share/bash-completion/completions/midlayer\n"
                          "  zsh    source <(midlayer completion zsh)    in ~/.zshrc, after compinit\n"
                          "  fish   midlayer completion fish > ~/.config/fish/completions/midlayer.fish");
  static const std::map<std::string, Shell> kShells = {
      {"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}};
  CLI::Option* shell = completion_->add_option("SHELL", shell_, "The shell.")->required();
  Group::SetWords(shell, kShells);
}

Command Parser::TakeEmbed(std::string* wrong) {
  EmbedOptions& options = embed_options_;
  options.texts = Unmark(embed_texts_->results());
  if (embed_->get_option("--input-format")->count() == 0) options.input_format.reset();
  options.input = Unmark(options.input);
  if (options.text.prompt.has_value()) options.text.prompt = Unmark(*options.text.prompt);
  ParseLayer(embed_layer_, &options.output.layer);
  if (options.texts.empty() && options.input.empty()) {
    *wrong = "no texts: name some, or --input=FILE, or - for standard input";
  }
  return options;
}

Command Parser::TakeSimilarity(std::string* wrong) {
  SimilarityOptions& options = similarity_options_;
  options.texts = Unmark(similarity_texts_->results());
  if (options.text.prompt.has_value()) options.text.prompt = Unmark(*options.text.prompt);
  if (similarity_layers_.empty()) similarity_layers_ = {"selected"};
  if (similarity_poolings_.empty()) similarity_poolings_ = {v1::POOLING_UNSPECIFIED};
  for (const std::string& layer : similarity_layers_) {
    OutputOptions output = {.state = similarity_state_};
    ParseLayer(layer, &output.layer);
    for (const v1::Pooling pooling : similarity_poolings_) {
      output.pooling = pooling;
      options.outputs.push_back(output);
    }
  }
  if (options.texts.size() < 2) *wrong = "one text has nothing to be compared with: name two or more";
  if (options.outputs.size() > kMaxOutputs) {
    *wrong = absl::StrCat("at most ", kMaxOutputs, " columns, found ", options.outputs.size());
  }
  return options;
}

Command Parser::Take(std::string* wrong) {
  const CLI::App* command = app_.get_subcommands().at(0);
  if (command == embed_) return TakeEmbed(wrong);
  if (command == similarity_) return TakeSimilarity(wrong);
  if (command == info_) return info_options_;
  if (command == bench_.command()) return bench_.Take(wrong);
  if (command == completion_) return int{kExitOk};
  if (std::optional<ScoringCommand> scoring = scoring_.Take(command, wrong)) {
    return std::visit([](auto& options) -> Command { return std::move(options); }, *scoring);
  }
  return health_options_;
}

// "embed, similarity, … or health".
std::string CommandNames(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::string last = names.back();
  names.pop_back();
  return absl::StrCat(absl::StrJoin(names, ", "), " or ", last);
}

}  // namespace

Command ParseCommand(std::vector<std::string> arguments, std::ostream& out, std::ostream& err) {
  Parser parser;
  std::string wrong;
  Command command = int{kExitOk};
  const std::string first = arguments.empty() ? "nothing" : absl::StrCat("\"", arguments[0], "\"");
  arguments = Mark(arguments);
  std::ranges::reverse(arguments);  // as CLI11 takes them
  try {
    parser.app().parse(std::move(arguments));
    out << parser.Completion();
    command = parser.Take(&wrong);
  } catch (const CLI::Success& success) {  // help and version
    parser.app().exit(success, out, err);
    return int{kExitOk};
  } catch (const CLI::ParseError& error) {
    wrong = error.what();
  }
  if (wrong.empty()) return command;
  if (parser.app().get_subcommands().empty()) {
    wrong = absl::StrCat("expected ", CommandNames(parser.app()), ", found ", first);
  }
  std::string path = "midlayer ";
  for (auto commands = parser.app().get_subcommands(); !commands.empty(); commands = commands[0]->get_subcommands()) {
    absl::StrAppend(&path, commands[0]->get_name(), " ");
  }
  std::erase(wrong, kMark);
  std::ranges::replace(wrong, '\n', ' ');
  err << "midlayer: " << wrong << "; see " << path << "--help" << std::endl;
  return int{kExitUsage};
}

}  // namespace midlayer::cli
