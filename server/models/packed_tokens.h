// The tokens of a batch, one row after the other. No torch.
#ifndef MIDLAYER_SERVER_MODELS_PACKED_TOKENS_H_
#define MIDLAYER_SERVER_MODELS_PACKED_TOKENS_H_

#include <cstdint>
#include <vector>

namespace midlayer {

// P packed tokens of B rows. Rows stand in the order in which they leave, the deepest first, so that those still being
// computed are always the first ones.
struct PackedTokens {
  std::vector<int32_t> ids;      // (P)
  std::vector<int64_t> offsets;  // (B + 1), row r is tokens offsets[r] … offsets[r + 1] - 1; no row is empty
  std::vector<int> last_layer;   // (B), never rising: the layer after which the row leaves

  int64_t rows() const { return static_cast<int64_t>(last_layer.size()); }
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  // How many rows are computed up to `layer` or deeper.
  int64_t RowsAt(int layer) const {
    int64_t count = rows();
    while (count > 0 && last_layer[count - 1] < layer) --count;
    return count;
  }
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_MODELS_PACKED_TOKENS_H_
