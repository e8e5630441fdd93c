#include "client/cli/bench_flags.h"

#include <map>

#include "client/cli/flag_group.h"
#include "client/cli/names.h"

namespace midlayer::cli {
namespace {

constexpr char kAbout[] =
    "Sends a load of Embed calls to a server and tells how long they took, layer by layer.\n"
    "A closed loop keeps --concurrency requests under way, and finds out what the server can do. With --rate requests "
    "begin at their own times whatever the server does (an open loop), as those of users do, and a latency counts from "
    "when its request should have begun: so a server that cannot keep up shows it.\n"
    "\n"
    "  midlayer bench --layer=3,6 --concurrency=32\n"
    "  midlayer bench --rate=200 --duration=60 --output=json > load.json\n"
    "\n"
    "The exit code is 1 where a request failed or could not be sent.";

constexpr double kMaxSeconds = 1e6;
constexpr double kMaxRate = 1e6;

}  // namespace

void BenchFlags::AddCommand() {
  command_ = app_->add_subcommand("bench", kAbout);
  AddLoad();
  AddRequests();
  static const std::map<std::string, bool> kFormats = {{"table", false}, {"json", true}};
  Group(command_, "Output")
      .AddWord("--output", options_.json, kFormats,
               "table: for people, in milliseconds. json: one object with everything, histograms included, in seconds.")
      ->default_str("table")
      ->envname("MIDLAYER_BENCH_OUTPUT");
  AddConnectionFlags(command_, options_.connection);
}

void BenchFlags::AddLoad() {
  Group load(command_, "Load");
  load.Add("--concurrency", options_.concurrency, "N",
           "Requests under way at once; with --rate the most that may be. Each takes a thread here.")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096).description(""));
  load.Add("--rate", options_.rate, "N", "Requests a second, in an open loop. 0: a closed loop.")
      ->capture_default_str()
      ->check(CLI::Range(0.0, kMaxRate).description(""));
  static const std::map<std::string, Arrivals::Spacing> kSpacings = {{"poisson", Arrivals::Spacing::kPoisson},
                                                                     {"constant", Arrivals::Spacing::kConstant}};
  load.AddWord("--spacing", options_.spacing, kSpacings,
               "How requests of an open loop follow each other: by chance, as those of many users do, or evenly.")
      ->default_str("poisson");
  load.Add("--duration", options_.duration_seconds, "SECONDS", "How long the load is measured.")
      ->capture_default_str()
      ->check(CLI::Range(0.001, kMaxSeconds).description(""));
  load.Add("--warmup", options_.warmup_seconds, "SECONDS", "How long it goes before that.")
      ->capture_default_str()
      ->check(CLI::Range(0.0, kMaxSeconds).description(""));
  load.Add("--requests", options_.requests, "N",
           "Ends after so many measured requests, if that is sooner. 0: no bound.")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber.description(""));
  load.Add("--connections", options_.connections, "N",
           "Connections that the requests are spread over. A load balancer in front may give each another server.")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024).description(""));
  load.Add("--seed", options_.seed, "N", "What layers, texts and times are drawn from.")->capture_default_str();
}

void BenchFlags::AddRequests() {
  Group requests(command_, "Requests");
  requests
      .Add("--layer", layers_, "N",
           "Repeat it for several: --layer=3 --layer=6, or --layer=3,6. Each request takes one of them by chance. 0 to "
           "the model's number of blocks, -1 for the last, or \"selected\".")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("selected")
      ->check(CheckLayer);
  requests.AddWord("--pooling", options_.output.pooling, kPoolings, "Default: the model's own.");
  requests.Add("--texts", options_.texts, "N", "Texts of a request.")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536).description(""));
  requests.Add("--words", options_.words, "N", "Words of a text; texts are made up of common words.")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000).description(""));
  requests
      .Add("--input", options_.input, "FILE",
           "Take texts by chance from the lines of this file instead; - is standard input.")
      ->excludes("--words");
  requests.AddWord("--truncate", options_.text.truncate, kTruncates, "What to do with texts that are too long.")
      ->default_str("none");
}

BenchOptions BenchFlags::Take(std::string* wrong) {
  options_.input = Unmark(options_.input);
  if (layers_.empty()) layers_ = {"selected"};
  options_.layers.clear();
  for (const std::string& layer : layers_) ParseLayer(layer, &options_.layers.emplace_back());
  if (options_.connections > options_.concurrency) *wrong = "--connections: more than --concurrency can use";
  return options_;
}

}  // namespace midlayer::cli
