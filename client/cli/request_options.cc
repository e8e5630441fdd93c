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

void SetOutput(const OutputOptions& output, v1::EmbedRequest* request) {
  if (output.layer.has_value()) request->set_layer(*output.layer);
  request->set_pooling(output.pooling);
  request->set_state(output.state);
  request->set_normalize(output.normalize);
  request->set_dimensions(output.dimensions);
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
