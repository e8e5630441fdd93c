#include "server/weights/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/ffi/midlayer_ffi.h"

namespace midlayer {
namespace {

TensorType TypeOf(std::string_view dtype) {
  static constexpr std::pair<std::string_view, TensorType> kTypes[] = {
      {"F32", TensorType::kFloat32}, {"F16", TensorType::kFloat16}, {"BF16", TensorType::kBFloat16},
      {"F64", TensorType::kFloat64}, {"I64", TensorType::kInt64},   {"I32", TensorType::kInt32},
      {"I8", TensorType::kInt8},     {"U8", TensorType::kUint8},    {"BOOL", TensorType::kBool},
  };
  for (const auto& [name, type] : kTypes) {
    if (name == dtype) return type;
  }
  return TensorType::kOther;
}

// Closes a descriptor at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::StatusOr<absl::Span<const std::byte>> Map(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer. It changes nothing for a regular file.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (file.fd() < 0 || fstat(file.fd(), &info) != 0) return absl::ErrnoToStatus(errno, "cannot open");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("expected a regular file");
  const size_t size = static_cast<size_t>(info.st_size);
  // mmap refuses an empty file with a message that says less.
  if (size == 0) return absl::InvalidArgumentError("expected a safetensors file, found an empty file");
  void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, "cannot map the file");
  return absl::Span<const std::byte>(static_cast<const std::byte*>(data), size);
}

// What the callbacks below fill in.
struct Collector {
  absl::Span<const std::byte> mapping;
  const std::string* file;
  std::map<std::string, TensorView>* tensors;
  std::map<std::string, std::string>* metadata;
  absl::Status status;
};

// noexcept, both: an exception must not unwind through Rust.
void CollectTensor(void* context, const MidlayerTensor* tensor) noexcept {
  auto* const collector = static_cast<Collector*>(context);
  const std::string name(tensor->name, tensor->name_size);
  TensorView view;
  view.dtype.assign(tensor->dtype, tensor->dtype_size);
  view.type = TypeOf(view.dtype);
  view.file = *collector->file;
  for (size_t i = 0; i < tensor->rank; ++i) {
    // Only a tensor without elements can have such a dimension: any other would not fit the file.
    if (tensor->shape[i] > static_cast<size_t>(std::numeric_limits<int64_t>::max())) {
      collector->status.Update(absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\": shape: expected dimensions that fit int64, found ", tensor->shape[i])));
      return;
    }
    view.shape.push_back(static_cast<int64_t>(tensor->shape[i]));
  }
  view.data = collector->mapping.subspan(tensor->begin, tensor->end - tensor->begin);
  collector->tensors->emplace(name, std::move(view));
}

void CollectMetadata(void* context, const char* key, size_t key_size, const char* value, size_t value_size) noexcept {
  static_cast<Collector*>(context)->metadata->emplace(std::string(key, key_size), std::string(value, value_size));
}

}  // namespace

SafetensorsFile::SafetensorsFile(absl::Span<const std::byte> mapping) : mapping_(mapping) {}

SafetensorsFile::~SafetensorsFile() { munmap(const_cast<std::byte*>(mapping_.data()), mapping_.size()); }

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::filesystem::path& path) {
  const absl::StatusOr<absl::Span<const std::byte>> mapping = Map(path);
  if (!mapping.ok()) return Annotate(mapping.status(), path.string());
  auto file = std::unique_ptr<SafetensorsFile>(new SafetensorsFile(*mapping));
  MIDLAYER_RETURN_IF_ERROR(Annotate(file->ReadHeader(path.string()), path.string()));
  return file;
}

absl::Status SafetensorsFile::ReadHeader(const std::string& file) {
  Collector collector = {
      .mapping = mapping_, .file = &file, .tensors = &tensors_, .metadata = &metadata_, .status = absl::OkStatus()};
  char* error = nullptr;
  if (!midlayer_safetensors_read(reinterpret_cast<const uint8_t*>(mapping_.data()), mapping_.size(), &CollectTensor,
                                 &CollectMetadata, &collector, &error)) {
    absl::Status status =
        absl::InvalidArgumentError(absl::StrCat("expected a safetensors file of ", mapping_.size(), " bytes: ", error));
    midlayer_error_free(error);
    return status;
  }
  return collector.status;
}

void SafetensorsFile::Release(const TensorView& view) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto file_begin = reinterpret_cast<uintptr_t>(mapping_.data());
  const auto begin = reinterpret_cast<uintptr_t>(view.data.data());
  const uintptr_t end = begin + view.data.size();
  if (begin < file_begin || end > file_begin + mapping_.size()) return;
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = end / page * page;
  // Advice only: if it is refused, the pages stay, which is no error.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace midlayer
