// model.safetensors.index.json beside two shards: what is opened is exactly what the index says.
#include <nlohmann/json.hpp>

#include "server/weights/weight_files.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

constexpr char kIndex[] = "model.safetensors.index.json";

void WriteShards() {
  constexpr char kOne[] = R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  constexpr char kTwo[] =
      R"({"y":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"z":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  fuzz::Folder().Write("a.safetensors", SafetensorsBytes(kOne, "1"));
  fuzz::Folder().Write("b.safetensors", SafetensorsBytes(kTwo, "23"));
}

void Check(std::string_view bytes) {
  const std::filesystem::path index = fuzz::Folder().Write(kIndex, bytes);
  const absl::StatusOr<WeightFiles> weights = WeightFiles::Open(fuzz::Folder().path());
  if (!weights.ok()) {
    fuzz::RequireError(weights.status(), {absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound},
                       absl::StrCat("^", index.string(), ": ."));
    return;
  }
  const nlohmann::json shard_of = nlohmann::json::parse(bytes)["weight_map"];
  fuzz::Require(shard_of.size() == weights->tensors().size(), "as many tensors as the index has");
  for (const auto& [name, view] : weights->tensors()) {
    const std::filesystem::path shard = fuzz::Folder().path() / shard_of.at(name).get<std::string>();
    fuzz::Require(view.file == shard.string(), "each tensor from the shard that the index names");
    fuzz::Require(view.data.size() == 1 && shard.parent_path() == fuzz::Folder().path(), "a shard of this folder");
  }
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool written = (midlayer::WriteShards(), true);
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
