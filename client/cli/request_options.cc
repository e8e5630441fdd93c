#include "client/cli/request_options.h"

#include "absl/strings/numbers.h"

namespace midlayer::cli {

v1::EmbedRequest MakeRequest(const TextOptions& options) {
  v1::EmbedRequest request;
  request.set_truncate(options.truncate);
  if (options.prompt_name.has_value()) request.set_prompt_name(*options.prompt_name);
  if (options.prompt.has_value()) request.set_prompt(*options.prompt);
  return request;
}

bool ParseLayer(const std::string& text, std::optional<int32_t>* layer) {
  layer->reset();
  if (text == "selected") return true;
  int32_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return false;
  *layer = number;
  return true;
}

}  // namespace midlayer::cli
