// The command line and environment of midlayer-server.
#ifndef MIDLAYER_SERVER_FLAGS_H_
#define MIDLAYER_SERVER_FLAGS_H_

#include <optional>
#include <string>

#include "server/engine/engine.h"
#include "server/engine/torch_runner.h"
#include "server/engine/torch_scorer.h"
#include "server/service/convert.h"
#include "server/service/server.h"

namespace midlayer {

// $XDG_STATE_HOME/midlayer, else ~/.local/state/midlayer, else (without a home) one in the folder for temporary files.
std::string StateDirectory();

struct Flags {
  LoadOptions load;
  bool trim_to_selection = false;
  int streams = 2;                               // of one GPU
  Engine::Options engine = {.batch_tokens = 0};  // 0: as fits the device
  RequestLimits limits;
  ScoreLimits score_limits;
  TorchScorerOptions scorer;
  std::string selection_store = "file:" + StateDirectory() + "/selections";
  std::string selection_scope;
  Selections::Options selections;
  Server::Options server;
  std::string metrics_listen = "127.0.0.1:9090";  // "off": none
  std::string token_file;                         // empty: no tokens
  double max_connection_age_seconds = 0;
  double drain_delay_seconds = 0;
  double health_timeout_seconds = 60;
  double drain_timeout_seconds = 30;
  std::string log_level = "info";
  std::string log_format = "text";
};

// Reads `flags` from the command line, and what is not there from the environment. Where the program should end instead
// (--help, --version, an error, which is then printed), returns its exit code.
std::optional<int> ParseFlags(int argc, char** argv, Flags* flags);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_FLAGS_H_
