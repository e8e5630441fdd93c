#include "server/weights/weight_files.h"

#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/base/parse_json.h"
#include "server/base/status.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

// Whether there is a directory entry; a link to nowhere is one, and opening it says what is wrong.
bool Present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

absl::Status NoWeights(const fs::path& model_dir) {
  const std::string dir = model_dir.string();
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!Present(model_dir / pickle)) continue;
    return absl::FailedPreconditionError(absl::StrCat(dir, ": expected ", kSingle, ", found only ", pickle,
                                                      "; convert it with: python -c \"from transformers import ",
                                                      "AutoModel; AutoModel.from_pretrained('", dir,
                                                      "').save_pretrained('", dir, "', safe_serialization=True)\""));
  }
  return absl::NotFoundError(absl::StrCat(dir, ": expected ", kSingle, " or ", kIndex, ", found neither"));
}

// A shard lies beside its index: a name with a directory could point anywhere.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

// Tensor -> shard, as the index has it.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return absl::InvalidArgumentError("expected a regular file");
  std::ifstream stream(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream) return absl::UnavailableError("cannot read the file");
  const nlohmann::json index = ParseJson(text);
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    return absl::InvalidArgumentError("weight_map: expected a JSON object with an object of this name");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(absl::StrCat("weight_map: tensor \"", tensor,
                                                     "\": expected the name of a file in the same directory, found ",
                                                     shard.dump(-1, ' ', true)));
    }
    shard_of.emplace(tensor, shard.get<std::string>());
  }
  if (shard_of.empty()) return absl::InvalidArgumentError("weight_map: expected at least one tensor, found none");
  return shard_of;
}

}  // namespace

absl::StatusOr<WeightFiles> WeightFiles::Open(const fs::path& model_dir) {
  WeightFiles weights;
  std::error_code ignored;
  if (!fs::is_directory(model_dir, ignored)) {
    return absl::NotFoundError(absl::StrCat(model_dir.string(), ": expected a directory with a model"));
  }
  if (Present(model_dir / kSingle)) {
    MIDLAYER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(model_dir / kSingle));
    weights.tensors_ = file->tensors();
    weights.files_.push_back(std::move(file));
    return weights;
  }
  const fs::path index = model_dir / kIndex;
  if (!Present(index)) return NoWeights(model_dir);
  const absl::StatusOr<std::map<std::string, std::string>> shard_of = ReadIndex(index);
  if (!shard_of.ok()) return Annotate(shard_of.status(), index.string());
  MIDLAYER_RETURN_IF_ERROR(Annotate(weights.AddShards(model_dir, *shard_of), index.string()));
  return weights;
}

absl::Status WeightFiles::AddShards(const fs::path& model_dir, const std::map<std::string, std::string>& shard_of) {
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    MIDLAYER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(model_dir / shard));
    for (const auto& [name, view] : file->tensors()) {
      const auto expected = shard_of.find(name);
      if (expected == shard_of.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor \"", name, "\" is in ", shard, ", but not in the index"));
      }
      if (expected->second != shard) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor \"", name, "\": expected in ", expected->second, " only, found in ", shard));
      }
      tensors_.emplace(name, view);
    }
    files_.push_back(std::move(file));
  }
  // Nothing above took a tensor that the index does not have, so what is left out is missing from its shard.
  for (const auto& [name, shard] : shard_of) {
    if (!tensors_.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\": expected in ", shard, ", not found there"));
    }
  }
  return absl::OkStatus();
}

void WeightFiles::Release(const TensorView& view) const {
  for (const std::unique_ptr<SafetensorsFile>& file : files_) file->Release(view);
}

}  // namespace midlayer
