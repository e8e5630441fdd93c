// The commands of the command line that have to do with scoring: score, report, compare, selections.
#ifndef MIDLAYER_CLIENT_CLI_SCORING_FLAGS_H_
#define MIDLAYER_CLIENT_CLI_SCORING_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/cli/compare.h"
#include "client/cli/score.h"
#include "client/cli/selections.h"

namespace midlayer::cli {

using ScoringCommand = std::variant<ScoreOptions, ReportOptions, SelectionsOptions, CompareOptions>;

// All that the flags of these commands write to. Lives as long as the parser.
class ScoringFlags {
 public:
  // `app`, which must outlive it, gets the commands by AddCommands().
  explicit ScoringFlags(CLI::App* app) : app_(app) {}
  ScoringFlags(const ScoringFlags&) = delete;
  ScoringFlags& operator=(const ScoringFlags&) = delete;

  void AddCommands();

  // After the parser has succeeded: nothing where `command` is none of these. `wrong` stays empty where the flags fit
  // together.
  std::optional<ScoringCommand> Take(const CLI::App* command, std::string* wrong);

 private:
  void AddScore();
  void AddScoreInput();
  void AddScoreChoice();
  void AddScoreFormulas();
  void AddReport();
  void AddCompare();
  void AddSelections();
  ScoreOptions TakeScore(std::string* wrong);
  SelectionsOptions TakeSelections();
  CompareOptions TakeCompare(std::string* wrong);

  CLI::App* const app_;

  CLI::App* score_ = nullptr;
  ScoreOptions score_options_;
  DatasetFormat format_ = DatasetFormat::kJsonLines;
  std::vector<std::string> metrics_;
  std::vector<v1::Pooling> poolings_;
  std::string expected_current_;
  bool no_store_ = false;
  v1::MetricMode mode_ = v1::METRIC_MODE_UNSPECIFIED;
  v1::EntropyNormalization normalization_ = v1::ENTROPY_NORMALIZATION_UNSPECIFIED;
  v1::State state_ = v1::STATE_UNSPECIFIED;
  // Fields of the request that are numbers, words or flags as they are.
  struct {
    std::string criterion, dataset_name;
    uint32_t sample_size = 0, skip_leading_tokens = 0, views = 0, permutations = 0;
    uint64_t seed = 0;
    double alpha = 0;
    bool without_special_tokens = false, refresh = false, stop_early = false, promote = false, force = false,
         example_values = false;
  } plain_;

  CLI::App* report_ = nullptr;
  ReportOptions report_options_;

  CLI::App* compare_ = nullptr;
  CompareOptions compare_options_;

  CLI::App* selections_ = nullptr;
  SelectionsOptions selections_options_;
  std::string expected_id_;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SCORING_FLAGS_H_
