#include "server/models/tensor_copy.h"

#include <ATen/ops/from_blob.h>

#include <cstddef>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/models/device.h"

namespace midlayer {

namespace {

std::optional<at::ScalarType> ScalarTypeOf(TensorType type) {
  switch (type) {
    case TensorType::kFloat32:
      return at::kFloat;
    case TensorType::kFloat16:
      return at::kHalf;
    case TensorType::kBFloat16:
      return at::kBFloat16;
    case TensorType::kFloat64:
      return at::kDouble;
    default:
      return std::nullopt;
  }
}

}  // namespace

absl::StatusOr<at::Tensor> MapTensor(std::string_view name, const TensorView& view) {
  const std::optional<at::ScalarType> type = ScalarTypeOf(view.type);
  if (!type) {
    return absl::InvalidArgumentError(absl::StrCat(
        view.file, ": tensor ", ToAbsl(name), ": expected a tensor of type F32, F16, BF16 or F64, found ", view.dtype));
  }
  // from_blob has no const form.
  return at::from_blob(const_cast<std::byte*>(view.data.data()), view.shape, *type);
}

absl::StatusOr<at::Tensor> CopyTensor(std::string_view name, const TensorView& view, at::Device device,
                                      at::ScalarType dtype) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor mapped, MapTensor(name, view));
  at::Tensor copy;
  MIDLAYER_RETURN_IF_ERROR(CatchTorch(
      [&] { copy = mapped.to(at::TensorOptions(device).dtype(dtype), /*non_blocking=*/false, /*copy=*/true); }));
  return copy;
}

void HashTensor(std::string_view name, const TensorView& view, Sha256& digest) {
  digest.Update(absl::StrCat("|", ToAbsl(name), ":", view.dtype, "[", absl::StrJoin(view.shape, ","), "]="));
  digest.Update(std::span<const std::byte>(view.data.data(), view.data.size()));
}

}  // namespace midlayer
