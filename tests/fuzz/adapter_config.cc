// adapter_config.json beside the factors of two modules: deltas that come out can be merged, and are the same however
// the JSON is laid out.
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/models/adapter.h"
#include "server/models/registry.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

constexpr int kRank = 2, kHidden = 4;
constexpr const char* kModules[] = {"encoder.layer.0.attention.self.query", "encoder.layer.1.attention.self.value"};

// A safetensors file of float32 zeros.
std::string FileOf(const std::vector<std::pair<std::string, std::vector<int>>>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  size_t end = 0;
  for (const auto& [name, shape] : tensors) {
    const size_t begin = end;
    end += 4 * static_cast<size_t>(shape[0] * shape[1]);
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, end}}};
  }
  return SafetensorsBytes(header.dump(), std::string(end, '\0'));
}

void WriteTensors() {
  std::vector<std::pair<std::string, std::vector<int>>> factors, weights;
  for (const char* module : kModules) {
    factors.push_back({absl::StrCat("base_model.model.", module, ".lora_A.weight"), {kRank, kHidden}});
    factors.push_back({absl::StrCat("base_model.model.", module, ".lora_B.weight"), {kHidden, kRank}});
    weights.push_back({absl::StrCat("bert.", module, ".weight"), {kHidden, kHidden}});
  }
  fuzz::Folder().Write("adapter_model.safetensors", FileOf(factors));
  fuzz::Folder().Write("base.safetensors", FileOf(weights));
}

const SafetensorsFile& Base() {
  static const std::unique_ptr<SafetensorsFile> base =
      *SafetensorsFile::Open(fuzz::Folder().path() / "base.safetensors");
  return *base;
}

void CheckAdapter(const Adapter& adapter) {
  fuzz::Require(adapter.deltas().size() == std::size(kModules), "a delta for each module");
  for (const auto& [module, delta] : adapter.deltas()) {
    fuzz::Require(std::isfinite(delta.scale), "a finite scale");
    fuzz::Require(delta.a.shape[0] == kRank && delta.b.shape[1] == kRank, "factors of the rank that is told");
  }
  const auto bound = adapter.Bind(BertWeights(), Base().tensors());
  fuzz::Require(bound.ok() && bound->size() == std::size(kModules), "deltas that fit their base");
}

void Check(std::string_view bytes) {
  const std::filesystem::path folder = fuzz::Folder().path();
  const std::string config = fuzz::Folder().Write("adapter_config.json", bytes).string();
  const absl::StatusOr<Adapter> adapter = Adapter::Open(folder);
  if (!adapter.ok()) {
    fuzz::RequireError(
        adapter.status(), {absl::StatusCode::kInvalidArgument},
        absl::StrCat("^", folder.string(), "/adapter_(config\\.json: |model\\.safetensors: tensor ).*expected ."));
    return;
  }
  CheckAdapter(*adapter);
  // ordered: of two patterns the first that matches decides.
  fuzz::Folder().Write("adapter_config.json", nlohmann::ordered_json::parse(bytes).dump(3));
  const absl::StatusOr<Adapter> again = Adapter::Open(folder);
  fuzz::Require(again.ok() && again->Digest() == adapter->Digest(), "the same deltas of the same JSON");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool written = (midlayer::WriteTensors(), true);
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
