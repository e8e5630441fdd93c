// The command line of `midlayer bench`.
#ifndef MIDLAYER_CLIENT_CLI_BENCH_FLAGS_H_
#define MIDLAYER_CLIENT_CLI_BENCH_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "client/cli/bench.h"

namespace midlayer::cli {

// All that the flags write to. Lives as long as the parser.
class BenchFlags {
 public:
  // `app`, which must outlive it, gets the command by AddCommand().
  explicit BenchFlags(CLI::App* app) : app_(app) {}
  BenchFlags(const BenchFlags&) = delete;
  BenchFlags& operator=(const BenchFlags&) = delete;

  void AddCommand();
  const CLI::App* command() const { return command_; }

  // After the parser has succeeded. `wrong` stays empty where the flags fit together.
  BenchOptions Take(std::string* wrong);

 private:
  void AddLoad();
  void AddRequests();

  CLI::App* const app_;
  CLI::App* command_ = nullptr;
  BenchOptions options_;
  std::vector<std::string> layers_;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_BENCH_FLAGS_H_
