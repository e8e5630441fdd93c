// The shorter examples of client/cpp/README.md. examples NAME TARGET runs one of them.
#include <midlayer/client.h>

#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace {

absl::Status Outputs(midlayer::Client& client) {
  const auto result = client.Embed(
      {"Hello."},
      {.outputs = {{.layers = {1}}, {.layers = {1, 2}, .fusion = midlayer::Fusion::kMean, .dimensions = 16}}});
  if (!result.ok()) return result.status();
  const midlayer::OutputVectors& fused = result->outputs[1];
  std::cout << fused.rows << " x " << fused.dimensions << '\n';
  return absl::OkStatus();
}

absl::Status Stream(midlayer::Client& client) {
  const auto next_line = []() -> std::optional<std::string> {
    std::string line;
    return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
  };
  const auto print = [](const midlayer::Embeddings& result) {
    for (size_t i = 0; i < result.size(); ++i) {
      std::cout << result.first + i;
      for (const float value : result.row(i)) std::cout << ' ' << std::setprecision(9) << value;
      std::cout << '\n';
    }
    return absl::OkStatus();
  };
  const auto tell = [](const midlayer::StreamError& error) { std::cerr << error.status << '\n'; };
  const absl::Status status =
      client.EmbedStream(next_line, print, {.embed = {.layer = 2}, .batch_size = 8, .on_error = tell});
  return status;
}

absl::Status Score(midlayer::Client& client) {
  std::vector<midlayer::Example> examples;
  for (int i = 0; i < 40; ++i) {
    const std::string layer = "layer " + std::to_string(i);
    examples.push_back({.text = "the server reads " + layer, .paired_text = layer + " is read", .score = i % 5});
  }
  const auto report = client.ScoreLayers(examples, {.metrics = {"pair_spearman"}});
  if (!report.ok()) return report.status();
  std::cout << "layer " << report->selection().layer() << ", " << midlayer::WordOf(report->selection().confidence())
            << " confidence: " << report->selection().reason() << '\n';
  return client.selections().Promote(report->selection().id()).status();
}

absl::Status Refused(midlayer::Client& client) {
  const absl::Status status = client.Embed({"Hello."}, {.layer = 99}).status();
  if (absl::IsInvalidArgument(status)) std::cout << status.message() << '\n';  // layer: expected 0 to ..., found 99
  return absl::OkStatus();
}

absl::Status Servers() {
  midlayer::Client client({.target = "dns:///midlayer.example.org:50051",
                           .tls = midlayer::Tls{.ca = {.file = "ca.pem"}},
                           .token = {.file = "token"},
                           .timeout = absl::Seconds(5)});
  if (!client.status().ok()) std::cout << client.status().message() << '\n';  // tls.ca: ca.pem: file not found ...
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  midlayer::Client client(argc > 2 ? argv[2] : "127.0.0.1:50051");
  absl::Status status = absl::NotFoundError("no such example");
  if (name == "outputs") status = Outputs(client);
  if (name == "stream") status = Stream(client);
  if (name == "score") status = Score(client);
  if (name == "refused") status = Refused(client);
  if (name == "servers") status = Servers();
  if (status.ok()) return 0;
  std::cerr << status << '\n';
  return 1;
}
