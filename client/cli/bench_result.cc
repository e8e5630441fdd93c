#include "client/cli/bench_result.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/names.h"
#include "nlohmann/json.hpp"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<double, 6> kPercentiles = {50, 90, 95, 99, 99.9, 99.99};
constexpr size_t kLayerWidth = 8, kCountWidth = 8, kNumberWidth = 9;
constexpr double kRowsOfADoubling = 4;
constexpr int kMaxRows = 24;

// Layers in ascending order, "selected" last.
std::vector<std::pair<std::string, const LatencyHistogram*>> ByLayer(const BenchResult& result) {
  std::vector<std::pair<std::string, const LatencyHistogram*>> layers;
  for (const auto& [layer, histogram] : result.layers) layers.emplace_back(layer, &histogram);
  std::ranges::stable_sort(layers, {}, [](const auto& layer) {
    return layer.first == "selected" ? 1e9 : std::strtod(layer.first.c_str(), nullptr);
  });
  return layers;
}

double PerSecond(uint64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

std::string FormatMilliseconds(double seconds) {
  const double milliseconds = 1e3 * seconds;
  return absl::StrFormat("%.*f", milliseconds < 10 ? 2 : milliseconds < 1000 ? 1 : 0, milliseconds);
}

std::string FormatRow(absl::string_view layer, const LatencyHistogram& histogram, double seconds) {
  std::string row =
      absl::StrCat(PadLeft(std::string(layer), kLayerWidth), PadLeft(absl::StrCat(histogram.count()), kCountWidth + 2),
                   PadLeft(absl::StrFormat("%.1f", PerSecond(histogram.count(), seconds)), kNumberWidth));
  for (const double percentile : kPercentiles) {
    absl::StrAppend(&row, PadLeft(FormatMilliseconds(histogram.Percentile(percentile)), kNumberWidth));
  }
  absl::StrAppend(&row, PadLeft(FormatMilliseconds(histogram.max()), kNumberWidth), "\n");
  return row;
}

std::string FormatTable(const BenchResult& result) {
  std::string table =
      absl::StrCat(PadLeft("layer", kLayerWidth), PadLeft("requests", kCountWidth + 2), PadLeft("/s", kNumberWidth));
  for (const double percentile : kPercentiles)
    absl::StrAppend(&table, PadLeft(absl::StrCat("p", percentile), kNumberWidth));
  absl::StrAppend(&table, PadLeft("max", kNumberWidth), "  ms\n");
  for (const auto& [layer, histogram] : ByLayer(result)) table += FormatRow(layer, *histogram, result.seconds);
  if (result.layers.size() > 1) table += FormatRow("all", result.All(), result.seconds);
  return table;
}

// A row for each range of durations, each as many times as long as the one before.
std::string FormatHistogram(const LatencyHistogram& histogram, size_t width) {
  if (histogram.count() == 0) return "";
  const double low = std::max(histogram.min(), 1e-6), high = std::max(histogram.max(), low);
  const int rows = std::clamp(static_cast<int>(std::ceil(std::log2(high / low) * kRowsOfADoubling)), 1, kMaxRows);
  const double factor = std::pow(high / low, 1.0 / rows);
  std::vector<uint64_t> counts;
  for (int row = 0; row < rows; ++row) {
    // The first and the last take what rounding left outside.
    const double from = row == 0 ? -1 : low * std::pow(factor, row);
    const double to = row + 1 == rows ? 1e9 : low * std::pow(factor, row + 1);
    counts.push_back(histogram.CountBetween(from, to));
  }
  const double most = static_cast<double>(*std::ranges::max_element(counts));
  const size_t room = std::max<size_t>(width, 40) - 34;
  std::string text;
  for (int row = 0; row < rows; ++row) {
    const auto length =
        static_cast<size_t>(std::lround(static_cast<double>(counts[row]) / most * static_cast<double>(room)));
    std::string bar;
    for (size_t i = 0; i < length; ++i) bar += "█";
    absl::StrAppend(&text, PadLeft(FormatMilliseconds(low * std::pow(factor, row + 1)), kLayerWidth), " ms",
                    PadLeft(absl::StrCat(counts[row]), kCountWidth + 2), counts[row] > 0 ? "  " : "", bar, "\n");
  }
  return absl::StrCat("\nUp to, requests of all layers\n", text);
}

std::string FormatLoad(const BenchOptions& options) {
  std::string load = options.rate > 0
                         ? absl::StrFormat("Open loop, %g requests/s (%s), at most %d under way", options.rate,
                                           options.spacing == Arrivals::Spacing::kPoisson ? "poisson" : "constant",
                                           options.concurrency)
                         : absl::StrFormat("Closed loop, %d requests under way", options.concurrency);
  absl::StrAppend(&load, " over ", options.connections, options.connections == 1 ? " connection; " : " connections; ",
                  options.texts, options.texts == 1 ? " text" : " texts");
  if (options.input.empty()) absl::StrAppend(&load, " of ", options.words, options.words == 1 ? " word" : " words");
  absl::StrAppend(&load, " a request");
  return load + "\n";
}

// What did not go as it should.
std::string FormatTrouble(const BenchResult& result) {
  std::string trouble;
  for (const auto& [code, failure] : result.failures) {
    const LatencyHistogram& latencies = failure.latencies;
    absl::StrAppend(&trouble, latencies.count(), " failed after ", FormatMilliseconds(latencies.min()), " to ",
                    FormatMilliseconds(latencies.max()), " ms: ", code, ": ", failure.example, "\n");
  }
  if (result.late > 0) {
    absl::StrAppend(&trouble, result.late, " began late, by up to ", FormatMilliseconds(result.most_late_seconds),
                    " ms, which counts in their latency\n");
  }
  if (result.not_sent > 0) {
    absl::StrAppend(&trouble, result.not_sent, " were not sent in time: the server does not keep up with --rate",
                    ", or --concurrency is too low\n");
  }
  return trouble.empty() ? "" : "\n" + trouble;
}

Json LatencyToJson(const LatencyHistogram& histogram) {
  Json percentiles;
  for (const double percentile : kPercentiles)
    percentiles[absl::StrCat("p", percentile)] = histogram.Percentile(percentile);
  return {{"mean", histogram.mean()}, {"min", histogram.min()}, {"max", histogram.max()}, {"percentiles", percentiles}};
}

Json ToJson(const LatencyHistogram& histogram, double seconds) {
  Json buckets = Json::array();
  for (const LatencyHistogram::Bucket& bucket : histogram.Buckets())
    buckets.push_back({bucket.up_to_seconds, bucket.count});
  return {{"requests", histogram.count()},
          {"requests_per_second", PerSecond(histogram.count(), seconds)},
          {"latency_seconds", LatencyToJson(histogram)},
          {"histogram", buckets}};
}

Json OptionsToJson(const BenchOptions& options) {
  std::vector<std::string> layers;
  for (const auto& layer : options.layers) layers.push_back(layer.has_value() ? absl::StrCat(*layer) : "selected");
  Json json = {{"target", options.connection.target},
               {"loop", options.rate > 0 ? "open" : "closed"},
               {"concurrency", options.concurrency},
               {"connections", options.connections},
               {"layers", layers},
               {"texts", options.texts},
               {"warmup_seconds", options.warmup_seconds},
               {"duration_seconds", options.duration_seconds},
               {"seed", options.seed}};
  if (options.output.pooling != v1::POOLING_UNSPECIFIED) json["pooling"] = PoolingName(options.output.pooling);
  if (options.rate > 0) {
    json["rate"] = options.rate;
    json["spacing"] = options.spacing == Arrivals::Spacing::kPoisson ? "poisson" : "constant";
  }
  if (options.requests > 0) json["max_requests"] = options.requests;
  json[options.input.empty() ? "words" : "input"] = options.input.empty() ? Json(options.words) : Json(options.input);
  return json;
}

}  // namespace

LatencyHistogram BenchResult::All() const {
  LatencyHistogram all;
  for (const auto& [layer, histogram] : layers) all.Add(histogram);
  return all;
}

void BenchResult::Add(const BenchResult& other) {
  for (const auto& [layer, histogram] : other.layers) layers[layer].Add(histogram);
  for (const auto& [code, failure] : other.failures) {
    failures[code].latencies.Add(failure.latencies);
    failures[code].example = failure.example;
  }
  texts += other.texts;
  tokens += other.tokens;
  late += other.late;
  not_sent += other.not_sent;
  most_late_seconds = std::max(most_late_seconds, other.most_late_seconds);
}

std::string FormatBench(const BenchOptions& options, const v1::GetModelResponse& model, const BenchResult& result,
                        size_t width) {
  return absl::StrCat(
      absl::StrFormat("%s (%s, %d layers) at %s, %s in %s\n", model.name(), model.architecture(), model.layers(),
                      options.connection.target, model.device(), model.dtype()),
      FormatLoad(options),
      absl::StrFormat("%.1f s after %g s of warm-up: %.1f requests/s, %.1f texts/s, %.0f tokens/s\n\n", result.seconds,
                      options.warmup_seconds, PerSecond(result.All().count(), result.seconds),
                      PerSecond(result.texts, result.seconds), PerSecond(result.tokens, result.seconds)),
      FormatTable(result), FormatHistogram(result.All(), width), FormatTrouble(result));
}

std::string BenchToJson(const BenchOptions& options, const v1::GetModelResponse& model, const BenchResult& result) {
  Json json = {{"model",
                {{"name", model.name()},
                 {"architecture", model.architecture()},
                 {"layers", model.layers()},
                 {"fingerprint", model.fingerprints().empty() ? "" : *model.fingerprints().rbegin()},
                 {"dtype", model.dtype()},
                 {"device", model.device()},
                 {"server_version", model.server_version()}}},
               {"options", OptionsToJson(options)},
               {"seconds", result.seconds},
               {"texts", result.texts},
               {"texts_per_second", PerSecond(result.texts, result.seconds)},
               {"tokens", result.tokens},
               {"tokens_per_second", PerSecond(result.tokens, result.seconds)},
               {"failures", Json::object()},
               {"late", result.late},
               {"most_late_seconds", result.most_late_seconds},
               {"not_sent", result.not_sent},
               {"all", ToJson(result.All(), result.seconds)},
               {"layers", Json::object()}};
  for (const auto& [code, failure] : result.failures) {
    json["failures"][code] = {{"count", failure.latencies.count()},
                              {"example", failure.example},
                              {"latency_seconds", LatencyToJson(failure.latencies)}};
  }
  for (const auto& [layer, histogram] : ByLayer(result)) json["layers"][layer] = ToJson(*histogram, result.seconds);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace midlayer::cli
