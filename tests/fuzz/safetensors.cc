// Safetensors files, whole or a header alone to which length and data are put: what is read lies in the file without
// holes or overlaps, and is written and read again the same.
#include "server/weights/safetensors.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

constexpr size_t kDataBytes = 64;  // behind a header alone

// 0 for types that midlayer does not use.
size_t BytesOf(TensorType type) {
  switch (type) {
    case TensorType::kFloat64:
    case TensorType::kInt64:
      return 8;
    case TensorType::kFloat32:
    case TensorType::kInt32:
      return 4;
    case TensorType::kFloat16:
    case TensorType::kBFloat16:
      return 2;
    case TensorType::kInt8:
    case TensorType::kUint8:
    case TensorType::kBool:
      return 1;
    case TensorType::kOther:
      return 0;
  }
  return 0;
}

// The tensors fill the end of the file, each as long as its type and shape ask for.
void CheckTensors(const SafetensorsFile& file, size_t file_bytes) {
  size_t bytes = 0;
  for (const auto& [name, view] : file.tensors()) {
    bytes += view.data.size();
    size_t expected = BytesOf(view.type);
    for (const int64_t dimension : view.shape) {
      fuzz::Require(dimension >= 0, "no negative dimension");
      expected *= static_cast<size_t>(dimension);
    }
    fuzz::Require(view.type == TensorType::kOther || view.data.size() == expected, "data as long as the shape says");
    unsigned sum = 0;
    for (const std::byte byte : view.data) sum += static_cast<unsigned>(byte);
    fuzz::Require(sum <= 255 * view.data.size(), "data that can be read");
  }
  fuzz::Require(bytes <= file_bytes, "tensors that do not overlap");
}

std::string Written(const SafetensorsFile& file) {
  std::string data;
  nlohmann::json header = nlohmann::json::object();
  for (const auto& [name, view] : file.tensors()) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(view.data.data()), view.data.size());
    header[name] = {{"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {begin, data.size()}}};
  }
  if (!file.metadata().empty()) header["__metadata__"] = file.metadata();
  return SafetensorsBytes(header.dump(), data);
}

bool Same(const SafetensorsFile& a, const SafetensorsFile& b) {
  const auto equal = [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.dtype == y.second.dtype && x.second.shape == y.second.shape &&
           x.second.data == y.second.data;
  };
  return a.metadata() == b.metadata() &&
         std::equal(a.tensors().begin(), a.tensors().end(), b.tensors().begin(), b.tensors().end(), equal);
}

void Check(std::string_view bytes) {
  const bool header_alone = fuzz::TakeByte(bytes) % 2 == 1;
  const std::string content =
      header_alone ? SafetensorsBytes(bytes, std::string(kDataBytes, '\x3f')) : std::string(bytes);
  const std::filesystem::path path = fuzz::Folder().Write("fuzz.safetensors", content);
  const auto file = SafetensorsFile::Open(path);
  if (!file.ok()) {
    fuzz::RequireError(file.status(), {absl::StatusCode::kInvalidArgument},
                       absl::StrCat("^", path.string(), ": (expected a|tensor )"));
    // What the crate's panics become.
    const std::string panic =
        absl::StrCat(path.string(), ": expected a safetensors file of ", content.size(), " bytes: internal error: ");
    fuzz::Require(!absl::StartsWith(file.status().message(), panic), "no panic");
    return;
  }
  CheckTensors(**file, content.size());
  const auto again = SafetensorsFile::Open(fuzz::Folder().Write("again.safetensors", Written(**file)));
  fuzz::Require(again.ok() && Same(**file, **again), "the same tensors from what they were written as");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
