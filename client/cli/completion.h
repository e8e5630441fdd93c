// What a shell needs to complete a command line: made from the flags themselves.
#ifndef MIDLAYER_CLIENT_CLI_COMPLETION_H_
#define MIDLAYER_CLIENT_CLI_COMPLETION_H_

#include <CLI/CLI.hpp>
#include <string>

namespace midlayer::cli {

enum class Shell { kBash, kZsh, kFish };

// A script that teaches the shell the commands, flags and values of `app`: values where they are words ("a|b") or FILE.
std::string CompletionScript(const CLI::App& app, Shell shell);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_COMPLETION_H_
