// A trained pooling head: what tools/convert_pooling_head.py makes of an attn_pool.pt.
#ifndef MIDLAYER_SERVER_MODELS_POOLING_HEAD_H_
#define MIDLAYER_SERVER_MODELS_POOLING_HEAD_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/description.h"
#include "server/nn/attention_pool.h"

namespace midlayer {

// The trained designs of "Pooling and Attention" (Tang and Yang 2024), with its numbers: which rows the head pools, and
// which attention the model was trained with.
enum class PoolingDesign {
  kLastLayerCausal = 2,
  kMultiLayerCausal = 3,
  kLastLayerBidirectional = 4,
  kMultiLayerBidirectional = 5,
};

// What the shapes of a head follow from.
struct PoolingHeadSizes {
  int64_t hidden = 0;      // D
  int64_t latents = 0;     // R
  int64_t inner = 0;       // of all heads together, N H
  int64_t mlp = 0;         // F
  int64_t table_rows = 0;  // 0: no layer table
};
// By the names of attn_pool.pt, which the file has too.
std::map<std::string, std::vector<int64_t>> PoolingHeadShapes(const PoolingHeadSizes& sizes);

// Thread-safety: const methods may be called from any number of threads.
class PoolingHead {
 public:
  struct Options {
    int64_t hidden = 0;  // of the model
    int layers = 0;      // of the model, L
    at::Device device = at::kCPU;
  };

  // Reads and checks the file, and copies its weights as float32. INVALID_ARGUMENT names file, tensor or metadata key,
  // expected and found: no head of this format, a tensor too many, missing or of another shape, a head for another
  // hidden size or for fewer layers. NOT_FOUND: no such file.
  static absl::StatusOr<std::unique_ptr<const PoolingHead>> Load(const std::filesystem::path& file,
                                                                 const Options& options);

  PoolingDesign design() const { return design_; }
  // Whether layers 1…L are pooled, one row each (L is the state after the final norm); else rows come of layer L alone.
  bool multi_layer() const;
  // Whether the model was trained with tokens that attend to all tokens of their text; else to those before them.
  bool bidirectional() const;
  // What makes one row of a layer's tokens: kLast (designs 2 and 3) or kMean (5). None: each token is a row (4).
  std::optional<Pooling> token_pooling() const;
  // Rows of the layer table, at least L; the first L are used. 0 where there is none.
  int64_t table_rows() const { return table_rows_; }

  const AttentionPool& pool() const { return pool_; }
  // SHA-256 of the design, the number of heads and all tensors as they are in the file.
  const std::string& digest() const { return digest_; }

 private:
  PoolingHead(PoolingDesign design, int64_t table_rows, AttentionPool pool, std::string digest)
      : design_(design), table_rows_(table_rows), pool_(std::move(pool)), digest_(std::move(digest)) {}

  const PoolingDesign design_;
  const int64_t table_rows_;
  const AttentionPool pool_;
  const std::string digest_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_POOLING_HEAD_H_
