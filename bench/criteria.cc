// What each criterion would have chosen on published curves, and what that would have been worth: the table of
// docs/choosing.md.
//
//   build/release/criteria DIR
//
// DIR has one JSON file a model: `mean_score_by_layer` and `layers` (which layers were scored on tasks), and `metrics`:
// for each metric its curve on `wikitext` over all layers, null where it is not defined.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/selection/choose.h"

namespace midlayer {
namespace {

using nlohmann::json;

struct Model {
  std::string name;
  std::vector<int> scored;  // layers with a task score
  std::vector<double> scores;
  std::vector<Curve> curves;
  int layers = 0;
};

// The curve's name in the files, and which of its forms is comparable between layers.
struct Source {
  const char* metric;
  const char* name;
  const char* form;
};
constexpr Source kSources[] = {{"prompt_entropy", "entropy_sentence", "maxEntropy"},
                               {"dataset_entropy", "entropy_dataset", "maxEntropy"},
                               {"infonce", "infonce", "raw"},
                               {"lidar", "lidar", "maxEntropy"},
                               {"dime", "dime", "maxEntropy"}};

Model Read(const std::filesystem::path& path) {
  const json file = json::parse(std::ifstream(path));
  Model model{.name = file.at("model"), .scored = file.at("layers"), .scores = file.at("mean_score_by_layer")};
  for (const Source& source : kSources) {
    const json& metrics = file.at("metrics");
    if (!metrics.contains(source.name) || !metrics.at(source.name).contains("wikitext")) continue;
    Curve curve;
    curve.metric = FindMetric(source.metric);
    curve.pooling = curve.metric->group == MetricGroup::kTokens ? "" : "mean";
    for (const json& value : metrics.at(source.name).at("wikitext").at(source.form)) {
      curve.layers.push_back(
          {.value = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>()});
    }
    model.layers = static_cast<int>(curve.layers.size()) - 1;
    model.curves.push_back(std::move(curve));
  }
  return model;
}

// The score at the scored layer nearest to `layer`, over the best score.
double Worth(const Model& model, int layer) {
  size_t nearest = 0;
  for (size_t i = 0; i < model.scored.size(); ++i) {
    if (std::abs(model.scored[i] - layer) < std::abs(model.scored[nearest] - layer)) nearest = i;
  }
  return model.scores[nearest] / *std::max_element(model.scores.begin(), model.scores.end());
}

using Rule = std::function<int(const Model&)>;

Rule ByCriterion(const std::string& text) {
  return [criterion = ParseCriterion(text).value()](const Model& model) {
    std::vector<Curve> curves = model.curves;
    for (Curve& curve : curves) {
      curve.direction = DirectionOf(*curve.metric, criterion);
      Judge(curve);
    }
    const auto choice = Choose(criterion, curves, {.layers = model.layers, .max_layer = model.layers});
    return choice.ok() ? choice->layer : -1;
  };
}

Rule ByDepth(double depth) {
  return [depth](const Model& model) { return static_cast<int>(std::lround(depth * model.layers)); };
}

void PrintRow(const std::string& name, const Rule& rule, const std::vector<Model>& models) {
  double sum = 0, worst = 2;
  int count = 0;
  std::string where;
  for (const Model& model : models) {
    const int layer = rule(model);
    if (layer < 0) continue;
    const double worth = Worth(model, layer);
    sum += worth;
    ++count;
    if (worth < worst) {
      worst = worth;
      where = model.name + ", layer " + std::to_string(layer);
    }
  }
  std::printf("| %s | %.3f | %.3f | %s | %d |\n", name.c_str(), sum / count, worst, where.c_str(), count);
}

void PrintTable(const std::vector<Model>& models) {
  std::printf("| criterion | mean | worst | where | models |\n|---|---|---|---|---|\n");
  for (const char* text :
       {"valley", "infonce:max", "infonce:min", "lidar:max", "lidar:min", "dime:max", "dime:min", "dataset_entropy:max",
        "dataset_entropy:min", "prompt_entropy:max", "prompt_entropy:min",
        "prompt_entropy:min,dataset_entropy:min,lidar:min,dime:min", "infonce:max,lidar:max,dime:max"}) {
    PrintRow(text, ByCriterion(text), models);
  }
  for (const double depth : {0.0, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 1.0}) {
    PrintRow("depth " + std::to_string(static_cast<int>(std::lround(depth * 100))) + " %", ByDepth(depth), models);
  }
}

int Main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: criteria DIR\n");
    return 2;
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Model> whole, part;
  for (const auto& path : paths) {
    Model model = Read(path);
    if (model.curves.empty()) continue;
    (static_cast<int>(model.scored.size()) == model.layers + 1 ? whole : part).push_back(std::move(model));
  }
  std::printf("Scored at every layer:\n\n");
  PrintTable(whole);
  std::printf("\nScored at some layers only (the scored layer nearest to the chosen one counts):\n\n");
  PrintTable(part);
  std::printf("\n| model | blocks | best layer | valley chooses | worth |\n|---|---|---|---|---|\n");
  const Rule valley = ByCriterion("valley");
  for (const Model& model : whole) {
    const auto best = std::max_element(model.scores.begin(), model.scores.end()) - model.scores.begin();
    const int layer = valley(model);
    std::printf("| %s | %d | %d | %d | %.3f |\n", model.name.c_str(), model.layers, model.scored[best], layer,
                Worth(model, layer));
  }
  return 0;
}

}  // namespace
}  // namespace midlayer

int main(int argc, char** argv) { return midlayer::Main(argc, argv); }
