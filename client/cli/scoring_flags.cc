#include "client/cli/scoring_flags.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "client/cli/example_parser.h"
#include "client/cli/flag_group.h"
#include "client/cli/names.h"

namespace midlayer::cli {
namespace {

constexpr char kScoreAbout[] =
    "Scores every layer on a data set, and says which one is best and how sure that is.\n"
    "Labels, scored pairs or queries with their passages give the strongest evidence; texts alone are enough for "
    "geometry and self-retrieval. Nothing of what Embed uses changes, unless --promote is given.\n"
    "\n"
    "  midlayer score --dataset=reviews.jsonl                      text and label on each line\n"
    "  midlayer score --dataset=pairs.csv --html=report.html       text_a, text_b, score; and a page\n"
    "  midlayer score --dataset=queries.jsonl --passages=docs.jsonl --metrics=paired,unlabelled\n"
    "  midlayer score --dataset=- --output=json < texts.txt > report.json";

constexpr char kDatasetHelp[] =
    "The examples; - is standard input. JSON Lines (an object a line), CSV (with a header), or plain lines. A text "
    "with "
    "a label, with a second text and a score, with a second text that it should find, or alone. Fields by their "
    "known names, the first that is there:\n";

constexpr char kReportAbout[] =
    "Shows a report again that midlayer score --output=json wrote.\n"
    "\n"
    "  midlayer report report.json\n"
    "  midlayer report report.json --html=report.html";

constexpr char kCompareAbout[] =
    "Compares two reports, or two layers of one.\n"
    "For each metric and pooling that both have: the best layers side by side, and whether the difference is more than "
    "chance (Wilcoxon's signed-rank test): over the layers, and over the examples where both reports were made with "
    "--example-values from the same data.\n"
    "\n"
    "  midlayer compare base.json tuned.json\n"
    "  midlayer compare report.json --layers=3,6 --metric=probe_accuracy";

constexpr char kSelectionsAbout[] =
    "Lists, shows, promotes and deletes the layers that were chosen.\n"
    "The promoted one is what Embed uses where a request names no layer, on all replicas that share a store. The first "
    "6 or more characters of an id will do where they are unique.\n"
    "\n"
    "  midlayer selections list\n"
    "  midlayer selections promote 3f2a9c1b7d40 --expected-current=none";

void AddFormat(CLI::App* command, bool& json, const std::string& environment, const std::string& help) {
  static const std::map<std::string, bool> kFormats = {{"table", false}, {"json", true}};
  Group(command, "Output").AddWord("--output", json, kFormats, help)->default_str("table")->envname(environment);
}

void AddHtml(CLI::App* command, std::string& html) {
  Group(command, "Output")
      .Add("--html", html, "FILE", "Also write the report as one page that needs nothing else, with charts.")
      ->envname("");
}

}  // namespace

void ScoringFlags::AddCommands() {
  AddScore();
  AddReport();
  AddCompare();
  AddSelections();
}

void ScoringFlags::AddScore() {
  score_ = app_->add_subcommand("score", kScoreAbout);
  AddScoreInput();
  AddScoreChoice();
  AddScoreFormulas();
  AddFormat(score_, score_options_.output.json, "MIDLAYER_SCORE_OUTPUT",
            "table: for people. json: the report as it is; docs/report.schema.json describes it.");
  AddHtml(score_, score_options_.output.html);
  AddConnectionFlags(score_, score_options_.connection);
}

void ScoringFlags::AddScoreInput() {
  DatasetOptions& dataset = score_options_.dataset;
  Group input(score_, "Data set");
  CLI::Option* file =
      input.Add("--dataset", dataset.dataset, "FILE", absl::StrCat(kDatasetHelp, KnownNames()))->envname("");
  static const std::map<std::string, DatasetFormat> kFormats = {
      {"jsonl", DatasetFormat::kJsonLines}, {"csv", DatasetFormat::kCsv}, {"text", DatasetFormat::kText}};
  input.AddWord("--format", format_, kFormats,
                "Default: by the file's ending (.jsonl, .ndjson, .csv); else jsonl where it begins with {, and text.");
  input
      .Add("--passages", dataset.passages, "FILE",
           "Passages to be found, with id and text; the queries of --dataset name them in their relevant ids.")
      ->envname("")
      ->needs(file);
  input
      .Add("--server-dataset", plain_.dataset_name, "NAME",
           "A data set in the server's data directory, in place of --dataset.")
      ->envname("")
      ->excludes(file);
  const auto add_name = [&](const char* flag, std::string& name, const char* what) {
    input.Add(flag, name, "NAME", absl::StrCat("The field of ", what, ", where it has none of the known names."));
  };
  add_name("--text-field", dataset.fields.text, "the text");
  add_name("--label-field", dataset.fields.label, "the label, a string or a number");
  add_name("--pair-field", dataset.fields.paired_text, "the second text");
  add_name("--score-field", dataset.fields.score, "the score, a number: how alike the two texts are");
  add_name("--id-field", dataset.fields.id, "a passage's id");
  add_name("--relevant-field", dataset.fields.relevant, "the relevant ids: a list, in CSV separated by ;");
}

void ScoringFlags::AddScoreChoice() {
  const std::string kMeasure = "What to measure", kChoice = "Choice";
  Group measure(score_, kMeasure);
  measure
      .Add("--metrics", metrics_, "NAMES",
           "Metrics or groups of them (unlabelled, views, self_retrieval, labelled, paired, all), separated by commas. "
           "Default: all that the examples allow, but views (16 passes a text) and masked self-retrieval (2).")
      ->delimiter(',')
      ->allow_extra_args(false);
  CLI::Option* pooling =
      measure.Add("--pooling", poolings_, "", "Poolings, separated by commas. Default: the model's own.");
  pooling->delimiter(',')->allow_extra_args(false);
  Group::SetWords(pooling, kPoolings);
  measure.AddWord("--state", state_, kStates, "Which form of the layers is measured.")->default_str("raw");
  measure
      .Add("--sample-size", plain_.sample_size, "N",
           "Use at most so many examples, drawn at random: fewer are faster, more tell layers apart better. Passages "
           "and "
           "pairs are never left out.")
      ->default_str("1000");
  measure.Add("--seed", plain_.seed, "N", "Seed of everything random.")->default_str("0");
  AddSwitch(score_, kMeasure, "--example-values", plain_.example_values,
            "Report the values of single examples too, for midlayer compare. Reports become large.");
  AddSwitch(score_, kMeasure, "--refresh", plain_.refresh,
            "Score again although a report of the same model, data set and options is stored.");
  AddSwitch(score_, kMeasure, "--stop-early", plain_.stop_early,
            "End as soon as the choice is settled, instead of after all examples.");
  Group choice(score_, kChoice);
  choice
      .Add("--criterion", plain_.criterion, "CRITERION",
           "auto: the strongest evidence that there is. Or a metric with its direction (prompt_entropy:min), or a "
           "weighted rank of several (silhouette_cosine:max=2,curvature:min=1).")
      ->default_str("auto");
  AddSwitch(score_, kChoice, "--no-store", no_store_, "Keep no selection.");
  AddSwitch(score_, kChoice, "--promote", plain_.promote,
            "Make the selection the default of Embed at once; refused where the evidence is geometry alone.");
  AddSwitch(score_, kChoice, "--force", plain_.force, "With --promote: on any evidence.");
  choice
      .Add("--expected-current", expected_current_, "ID",
           "With --promote: only where this selection is promoted now (its whole id); none: where none is.")
      ->envname("");
}

void ScoringFlags::AddScoreFormulas() {
  const std::string kFormulas = "Formulas";
  Group formulas(score_, kFormulas);
  formulas
      .AddWord(
          "--mode", mode_, kMetricModes,
          "definition: as published. reference-…: what the code behind \"Layer by Layer\" computed in that year, for "
          "comparison with its numbers.")
      ->default_str("definition");
  formulas.Add("--alpha", plain_.alpha, "ORDER", "Order of the Renyi entropies, above 0; 1 is von Neumann's.")
      ->default_str("1");
  formulas
      .AddWord("--normalization", normalization_, kNormalizations,
               "What entropies are divided by: raw (nothing), log-n (log of the rows), log-d (of the dimensions), "
               "max-entropy "
               "(of the smaller of both), or log-n-log-d.")
      ->default_str("max-entropy")
      ->type_name("WORD");
  AddSwitch(score_, kFormulas, "--without-special-tokens", plain_.without_special_tokens,
            "Leave special tokens out of metrics of tokens.");
  formulas
      .Add("--skip-leading-tokens", plain_.skip_leading_tokens, "N",
           "Leave so many leading tokens (attention sinks) out of metrics of tokens.")
      ->capture_default_str();
  formulas.Add("--views", plain_.views, "N", "Augmented views of every text, for LiDAR.")->default_str("16");
  formulas.Add("--permutations", plain_.permutations, "N", "Permutations for DiME.")->default_str("32");
}

void ScoringFlags::AddReport() {
  report_ = app_->add_subcommand("report", kReportAbout);
  report_->add_option("REPORT", report_options_.path, "A report in JSON; - is standard input.")->required();
  AddFormat(report_, report_options_.output.json, "MIDLAYER_REPORT_OUTPUT", "table: for people. json: as it was.");
  AddHtml(report_, report_options_.output.html);
}

void ScoringFlags::AddCompare() {
  compare_ = app_->add_subcommand("compare", kCompareAbout);
  compare_->add_option("REPORT", compare_options_.paths, "Two reports in JSON; one with --layers.")->required();
  Group what(compare_, "What to compare");
  what.Add("--metric", compare_options_.metric, "NAME", "Only this metric.")->envname("");
  what.Add("--layers", compare_options_.layers, "A,B", "Two layers of one report, paired by its examples.")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->envname("");
  AddFormat(compare_, compare_options_.json, "MIDLAYER_COMPARE_OUTPUT", "table: for people. json: a list of objects.");
}

void ScoringFlags::AddSelections() {
  selections_ = app_->add_subcommand("selections", kSelectionsAbout);
  selections_->require_subcommand(1);
  SelectionsOptions& options = selections_options_;
  const auto add = [&](const char* name, SelectionsAction action, const char* about) {
    CLI::App* command = selections_->add_subcommand(name, about);
    command->callback([&options, action] { options.action = action; });
    AddFormat(command, options.output.json, "MIDLAYER_SELECTIONS_OUTPUT",
              "table: for people. json: the server's answer.");
    AddConnectionFlags(command, options.connection);
    return command;
  };
  const auto add_id = [&](CLI::App* command, const char* help) {
    command->add_option("ID", options.id, help)->required();
  };
  add("list", SelectionsAction::kList, "Lists all that are stored, newest first.");
  CLI::App* show = add("show", SelectionsAction::kShow, "Shows the report that a selection came from.");
  add_id(show, "Its id, or 6 or more characters of its beginning.");
  AddHtml(show, options.output.html);
  CLI::App* promote = add("promote", SelectionsAction::kPromote, "Makes a selection the default of Embed.");
  add_id(promote, "Its id, or 6 or more characters of its beginning; none: go back to none.");
  Group(promote, "Promotion")
      .Add(
          "--expected-current", expected_id_, "ID",
          "Only where this one is promoted now, so that two people do not undo each other's work; none: where none is.")
      ->envname("");
  AddSwitch(promote, "Promotion", "--force", options.force, "Although its evidence is geometry alone.");
  CLI::App* remove = add("delete", SelectionsAction::kDelete, "Deletes a selection that is not promoted.");
  add_id(remove, "Its id, or 6 or more characters of its beginning.");
  AddSwitch(remove, "Deletion", "--yes", options.yes, "Do it; without it nothing is deleted.");
}

ScoreOptions ScoringFlags::TakeScore(std::string* wrong) {
  ScoreOptions options = score_options_;
  DatasetOptions& dataset = options.dataset;
  dataset.dataset = Unmark(dataset.dataset);
  dataset.passages = Unmark(dataset.passages);
  if (score_->get_option("--format")->count() > 0) dataset.format = format_;
  if (dataset.dataset.empty() && plain_.dataset_name.empty()) {
    *wrong = "no data set: name one with --dataset=FILE or --server-dataset=NAME";
  }
  if (dataset.dataset == "-" && dataset.passages == "-") *wrong = "--dataset and --passages cannot both be -";
  if (!plain_.promote && (plain_.force || !expected_current_.empty())) {
    *wrong = "--force and --expected-current are for --promote";
  }
  v1::ScoreOptions& request = options.request;
  request.mutable_metrics()->Assign(metrics_.begin(), metrics_.end());
  for (const v1::Pooling pooling : poolings_) request.add_poolings(pooling);
  request.set_criterion(plain_.criterion);
  request.set_sample_size(plain_.sample_size);
  request.set_seed(plain_.seed);
  if (no_store_) request.set_store(false);
  request.set_dataset_name(plain_.dataset_name);
  request.set_mode(mode_);
  request.set_alpha(plain_.alpha);
  request.set_normalization(normalization_);
  request.set_state(state_);
  request.set_without_special_tokens(plain_.without_special_tokens);
  request.set_skip_leading_tokens(plain_.skip_leading_tokens);
  request.set_views(plain_.views);
  request.set_permutations(plain_.permutations);
  request.set_refresh(plain_.refresh);
  request.set_stop_early(plain_.stop_early);
  request.set_promote(plain_.promote);
  request.set_force(plain_.force);
  if (!expected_current_.empty()) {
    request.set_expected_current_id(expected_current_ == "none" ? "" : expected_current_);
  }
  request.set_example_values(plain_.example_values);
  return options;
}

SelectionsOptions ScoringFlags::TakeSelections() {
  SelectionsOptions options = selections_options_;
  if (!expected_id_.empty()) options.expected_id = expected_id_;
  return options;
}

CompareOptions ScoringFlags::TakeCompare(std::string* wrong) {
  CompareOptions options = compare_options_;
  options.paths = Unmark(std::move(options.paths));
  if (!options.layers.empty() && (options.layers.size() != 2 || options.paths.size() != 1)) {
    *wrong = "--layers takes two layers, of one report";
  }
  if (options.layers.empty() && options.paths.size() != 2) {
    *wrong = absl::StrCat("expected two reports, or one with --layers=A,B, found ", options.paths.size());
  }
  return options;
}

std::optional<ScoringCommand> ScoringFlags::Take(const CLI::App* command, std::string* wrong) {
  if (command == score_) return TakeScore(wrong);
  if (command == report_) {
    report_options_.path = Unmark(report_options_.path);
    return report_options_;
  }
  if (command == compare_) return TakeCompare(wrong);
  if (command == selections_) return TakeSelections();
  return std::nullopt;
}

}  // namespace midlayer::cli
