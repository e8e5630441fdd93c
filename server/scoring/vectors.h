// What the metrics of labelled and paired vectors share: checks, unit rows, class ids, row blocks. Thread-safe.
//
// Dimensions: N vectors, D of each.
#ifndef MIDLAYER_SERVER_SCORING_VECTORS_H_
#define MIDLAYER_SERVER_SCORING_VECTORS_H_

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"
#include "server/base/status.h"

namespace midlayer {

// InvalidArgument, naming `name`, unless x is a matrix of float32 or float64 with at least one row and one column, and
// all of it is finite.
absl::Status CheckVectors(const at::Tensor& x_ND, std::string_view name);

// The same, and `labels` has one for each row.
absl::Status CheckLabelled(const at::Tensor& x_ND, absl::Span<const int64_t> labels);

// CheckVectors of both halves of pairs, `first` and `second`, and they have one shape.
absl::Status CheckPairs(const at::Tensor& first_ND, const at::Tensor& second_ND);

// x as float64 with every row divided by its length. A zero row stays zero, so its cosine with anything is 0.
at::Tensor UnitRows(const at::Tensor& x_ND);

// The numbers of the classes.
struct ClassIds {
  std::vector<int64_t> labels;   // of the classes, ascending, each once
  std::vector<int64_t> ids;      // labels[ids[i]] is the label of example i
  std::vector<int64_t> members;  // how many examples each class has
};
ClassIds IndexLabels(absl::Span<const int64_t> labels);

// `values` as a tensor on x's device.
at::Tensor ToTensor(absl::Span<const int64_t> values, const at::Tensor& x);
// A vector (N) of float64 as std::vector, from whatever device.
std::vector<double> ToVector(const at::Tensor& values_N);
// A matrix of float32 on the host, row by row.
at::Tensor ToHost(const at::Tensor& values);

double Mean(absl::Span<const double> values);

// Rows of a block so that block × `columns` values stay below 32 MiB in float64; at least one.
inline int64_t BlockRows(int64_t columns) {
  return std::max<int64_t>(1, (int64_t{1} << 22) / std::max<int64_t>(1, columns));
}

// Calls visit(first, count) for blocks of `block` rows that cover 0…rows-1 in order. Before each it asks `cancelled`.
template <typename Visit>
absl::Status ForEachBlock(int64_t rows, int64_t block, const Cancelled& cancelled, Visit visit) {
  for (int64_t first = 0; first < rows; first += block) {
    MIDLAYER_RETURN_IF_ERROR(CheckCancelled(cancelled));
    visit(first, std::min(block, rows - first));
  }
  return absl::OkStatus();
}

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_VECTORS_H_
