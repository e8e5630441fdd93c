// One safetensors file, mapped into memory.
#ifndef MIDLAYER_SERVER_WEIGHTS_SAFETENSORS_H_
#define MIDLAYER_SERVER_WEIGHTS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace midlayer {

// kOther is a type that the format has and midlayer does not use: its reader refuses it by name, if it needs the
// tensor.
enum class TensorType {
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt64,
  kInt32,
  kInt8,
  kUint8,
  kBool,
  kOther,
};

// A tensor in a mapped file. `data` is row-major, little-endian, exactly as long as type and shape ask for, and lives
// as long as the file object. It need not be aligned to the type: copy it out, do not cast the pointer. Copying a
// view does not copy the data.
struct TensorView {
  TensorType type = TensorType::kOther;
  std::string dtype;           // The type as the file names it ("F32", "F8_E4M3"), for messages.
  std::vector<int64_t> shape;  // Empty for a scalar.
  absl::Span<const std::byte> data;
  std::string file;  // Where it comes from, for messages.
};

// A read-only private mapping. Opening checks the whole header (offsets, lengths, overlap, holes) and reads no tensor:
// pages come in when they are touched. The file must not shrink while it is mapped: touching what is gone is SIGBUS.
//
// Thread-safety: all methods are const and may be called from any number of threads.
class SafetensorsFile {
 public:
  // Errors name the file. NotFound: no such file. InvalidArgument: not a regular file, or not a valid safetensors file.
  // PermissionDenied, Unavailable, …: what the system said.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path);

  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // By name. The views live as long as this object.
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }

  // The header's `__metadata__`; empty where there is none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Gives back the memory of the pages that lie wholly in `view`; touching them again reads the file again. For a
  // tensor that was copied to its place. Does nothing for a view of another file.
  void Release(const TensorView& view) const;

 private:
  explicit SafetensorsFile(absl::Span<const std::byte> mapping);

  // Fills tensors_ and metadata_ from the mapping.
  absl::Status ReadHeader(const std::string& file);

  // Constant after Open().
  const absl::Span<const std::byte> mapping_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_WEIGHTS_SAFETENSORS_H_
