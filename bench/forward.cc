// The model without a server: what the processor's matrix products allow, what the bare forward pass reaches, and what
// the engine around it does. One line of JSON, for bench/peers.py; figures of one run belong together.
//
// roofline: the model's products (and as many operations of attention) at the best rate that any of them reaches here,
// with libtorch's layout of weights and with oneDNN's. forward: tokens a second at `layer` for texts as they come, in
// batches of `batch_tokens`. single: milliseconds of a pass of one text, the median. engine: tokens a
// second of the engine in this process, which is fed as a stream feeds it.
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "server/engine/engine.h"
#include "server/engine/torch_runner.h"
#include "server/models/device.h"
#include "server/models/transformer.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Of one call, the quickest of those that fit into `seconds`.
template <typename Work>
double Quickest(double seconds, const Work& work) {
  work();
  double quickest = 1e9;
  for (const auto start = Clock::now(); SecondsSince(start) < seconds;) {
    const auto before = Clock::now();
    work();
    quickest = std::min(quickest, SecondsSince(before));
  }
  return quickest;
}

// Operations a token of the blocks' products; of attention over a text of `tokens` tokens.
double ProductOperations(const ArchSpec& arch) {
  const double hidden = arch.hidden, inner = arch.intermediate;
  return 2.0 * arch.layers *
         (hidden * (arch.query_features() + 2 * arch.key_features()) + hidden * arch.query_features() +
          hidden * inner * (arch.gated_mlp ? 3 : 2));
}
double AttentionOperations(const ArchSpec& arch, double tokens) {
  return 4.0 * arch.layers * arch.query_features() * tokens;
}

// Operations a second of (tokens, in) by (in, out).
double Rate(int64_t tokens, int64_t in, int64_t out, at::ScalarType type) {
  const at::Tensor x = at::randn({tokens, in}).to(type);
  Linear plain{.weight = at::randn({out, in}).to(type), .bias = at::randn({out}).to(type)};
  double seconds = Quickest(0.2, [&] { plain(x); });
  if (CanPack(plain.weight)) {
    const Linear packed = Packed(plain);
    seconds = std::min(seconds, Quickest(0.2, [&] { packed(x); }));
  }
  return 2.0 * static_cast<double>(tokens * in * out) / seconds;
}

double BestRate(const ArchSpec& arch, at::ScalarType type) {
  double best = 0;
  for (const int64_t tokens : {256, 512, 1024}) {
    for (const auto& [in, out] :
         {std::pair<int64_t, int64_t>{arch.hidden, arch.query_features() + 2 * arch.key_features()},
          {arch.query_features(), arch.hidden},
          {arch.hidden, arch.intermediate},
          {arch.intermediate, arch.hidden}}) {
      best = std::max(best, Rate(tokens, in, out, type));
    }
  }
  return best;
}

std::vector<std::string> ReadTexts(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::string> texts;
  for (std::string line; std::getline(stream, line);) texts.push_back(json::parse(line).at("text"));
  return texts;
}

// Texts in the order given, as batches of up to `budget` tokens.
std::vector<PackedTokens> Batches(const std::vector<Encoding>& texts, int64_t budget, int layer) {
  std::vector<PackedTokens> batches;
  for (const Encoding& text : texts) {
    const auto tokens = static_cast<int64_t>(text.ids.size());
    if (batches.empty() || batches.back().tokens() + tokens > budget) batches.push_back({.offsets = {0}});
    PackedTokens& batch = batches.back();
    batch.ids.insert(batch.ids.end(), text.ids.begin(), text.ids.end());
    batch.offsets.push_back(batch.tokens());
    batch.last_layer.push_back(layer);
  }
  return batches;
}

// Tokens a second of the bare forward pass in `workers` threads at once.
double Forward(const Transformer& transformer, const std::vector<PackedTokens>& batches, int workers, double seconds) {
  std::atomic<size_t> next = 0;
  std::atomic<int64_t> tokens = 0;
  const auto start = Clock::now();
  const auto work = [&] {
    const c10::InferenceMode inference;
    while (SecondsSince(start) < seconds) {
      const PackedTokens& batch = batches[next++ % batches.size()];
      transformer.Run(batch, [](int, const at::Tensor&) { return true; });
      tokens += batch.tokens();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < workers; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(tokens) / SecondsSince(start);
}

// Milliseconds of a pass with one text, text after text: the median.
double SingleText(const Transformer& transformer, const std::vector<PackedTokens>& texts, double limit) {
  std::vector<double> seconds;
  const auto start = Clock::now();
  for (size_t next = 0; SecondsSince(start) < limit; ++next) {
    const auto before = Clock::now();
    transformer.Run(texts[next % texts.size()], [](int, const at::Tensor&) { return true; });
    seconds.push_back(SecondsSince(before));
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
  return 1e3 * seconds[seconds.size() / 2];
}

// Tokens a second of texts in messages of 32, with as many on the way as a stream has.
double RunEngine(const LoadedModel& model, const std::vector<std::string>& texts, int layer, double seconds) {
  constexpr size_t kMessage = 32;
  constexpr int kMessagesAhead = 16;
  Telemetry telemetry;
  Engine engine({}, model.tokenizer.get(), MakeTorchRunners(model.replicas, /*streams=*/1, &telemetry).value(),
                &telemetry);
  std::counting_semaphore<kMessagesAhead> ahead(kMessagesAhead);
  std::atomic<int64_t> tokens = 0;
  const auto start = Clock::now();
  for (size_t next = 0; SecondsSince(start) < seconds;) {
    EmbedTask task{.truncation = Truncation::kRight, .outputs = {{.layers = {layer}}}, .priority = Priority::kBulk};
    for (size_t i = 0; i < kMessage; ++i) task.texts.push_back(texts[next++ % texts.size()]);
    ahead.acquire();
    engine.Embed(std::move(task), Engine::WhenFull::kWait, [&](const absl::StatusOr<EmbedResult>& result) {
      for (const TextResult& text : result->texts) tokens += text.tokens;
      ahead.release();
    });
  }
  for (int i = 0; i < kMessagesAhead; ++i) ahead.acquire();
  return static_cast<double>(tokens) / SecondsSince(start);
}

struct Flags {
  LoadOptions load;
  std::vector<std::string> measure = {"roofline", "forward"};
  std::string texts;
  int layer = -1;
  int workers = 1;
  std::vector<int64_t> batch_tokens = {512, 1024};
  double seconds = 5;
};

absl::Status Run(const Flags& flags) {
  auto loaded = LoadModel(flags.load);
  if (!loaded.ok()) return loaded.status();
  const Transformer& transformer = *loaded->replicas[0].transformer;
  const ArchSpec& arch = transformer.arch();
  const int layer = flags.layer < 0 ? transformer.max_layer() : flags.layer;
  const auto measures = [&flags](const char* what) {
    return std::find(flags.measure.begin(), flags.measure.end(), what) != flags.measure.end();
  };
  const std::vector<std::string> read = ReadTexts(flags.texts);
  std::vector<Encoding> texts;
  double tokens = 0, squares = 0;
  for (const std::string& text : read) {
    auto encoding = loaded->tokenizer->Encode(text, Truncation::kRight);
    if (!encoding.ok()) return encoding.status();
    texts.push_back(*std::move(encoding));
    const auto count = static_cast<double>(texts.back().ids.size());
    tokens += count;
    squares += count * count;
  }
  json out{{"texts", texts.size()},    {"tokens", tokens},         {"layer", layer}, {"threads", at::get_num_threads()},
           {"workers", flags.workers}, {"dtype", flags.load.dtype}};
  return CatchTorch([&] {
    const c10::InferenceMode inference;
    if (measures("roofline")) {
      const double rate = BestRate(arch, ParseDtype(flags.load.dtype).value_or(at::kFloat));
      const double operations = ProductOperations(arch) + AttentionOperations(arch, squares / tokens);
      out["operations_per_token"] = operations;
      out["best_operations_per_second"] = rate;
      out["roofline_tokens_per_second"] = rate / operations;
    }
    if (measures("single")) out["single_text_ms"] = SingleText(transformer, Batches(texts, 1, layer), flags.seconds);
    if (measures("engine")) out["engine_tokens_per_second"] = RunEngine(*loaded, read, layer, flags.seconds);
    for (const int64_t budget : measures("forward") ? flags.batch_tokens : std::vector<int64_t>()) {
      const std::vector<PackedTokens> batches = Batches(texts, budget, layer);
      Forward(transformer, batches, flags.workers, 1);
      out["forward_tokens_per_second"][std::to_string(budget)] =
          Forward(transformer, batches, flags.workers, flags.seconds);
    }
    std::cout << out.dump() << "\n";
  });
}

}  // namespace
}  // namespace midlayer

int main(int argc, char** argv) {
  midlayer::Flags flags;
  CLI::App app("Forward passes of a model, without a server.");
  app.add_option("--model", flags.load.directory)->required();
  app.add_option("--texts", flags.texts, "JSON Lines with a field text")->required();
  app.add_option("--measure", flags.measure)->check(CLI::IsMember({"roofline", "forward", "single", "engine"}));
  app.add_option("--dtype", flags.load.dtype);
  app.add_option("--packed-linear", flags.load.fast_paths.packed_linear);
  app.add_option("--cpu-kernels", flags.load.fast_paths.cpu_kernels);
  app.add_option("--threads", flags.load.threads, "of one forward pass");
  app.add_option("--workers", flags.workers, "forward passes at once");
  app.add_option("--layer", flags.layer, "-1: the last");
  app.add_option("--batch-tokens", flags.batch_tokens);
  app.add_option("--seconds", flags.seconds, "of each measurement");
  flags.load.device = "cpu";
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = midlayer::Run(flags);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
