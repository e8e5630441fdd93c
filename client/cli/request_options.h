// What the commands that embed let the user choose, and the messages made of it.
#ifndef MIDLAYER_CLIENT_CLI_REQUEST_OPTIONS_H_
#define MIDLAYER_CLIENT_CLI_REQUEST_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "midlayer/v1/embedding.pb.h"

namespace midlayer::cli {

// What concerns whole requests, whatever their outputs.
struct TextOptions {
  v1::Truncate truncate = v1::TRUNCATE_NONE;
  std::optional<std::string> prompt_name;
  std::optional<std::string> prompt;
};

// One output; unset or 0: the server's default.
struct OutputOptions {
  std::optional<int32_t> layer;
  v1::Pooling pooling = v1::POOLING_UNSPECIFIED;
  v1::State state = v1::STATE_UNSPECIFIED;
  bool normalize = true;
  uint32_t dimensions = 0;
};

// A request without texts and outputs.
v1::EmbedRequest MakeRequest(const TextOptions& options);

// Sets the fields that stand for the one output of `request`.
void SetOutput(const OutputOptions& output, v1::EmbedRequest* request);

// The layer that "--layer" names: nothing for "selected". False where `text` is neither that nor a number.
bool ParseLayer(const std::string& text, std::optional<int32_t>* layer);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_REQUEST_OPTIONS_H_
