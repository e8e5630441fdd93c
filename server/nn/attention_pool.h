// The trained pooling of "Pooling and Attention" (Tang and Yang 2024, github.com/yixuantt/PoolingAndAttn): rows of a
// text, one a layer or one a token, become one vector. Learned latents attend to the rows, a gated MLP follows, and the
// mean over the latents is the vector.
//
// Dimensions: B texts, S rows of a text, D hidden, R latents, N heads, H head size, F width of the MLP.
#ifndef MIDLAYER_SERVER_NN_ATTENTION_POOL_H_
#define MIDLAYER_SERVER_NN_ATTENTION_POOL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace midlayer {

// All of one type, float32 or float64, and on one device.
struct AttentionPoolWeights {
  struct Norm {
    at::Tensor weight;  // (D)
    at::Tensor bias;    // (D)
  };
  at::Tensor latents;       // (R, D)
  at::Tensor layer_table;   // (rows, D): row l is added to row l of a text. Undefined: nothing is added
  Norm row_norm;            // of the text's rows
  Norm latent_norm;         // of the latents
  at::Tensor to_query;      // (N H, D)
  at::Tensor to_key;        // (N H, D)
  at::Tensor to_value;      // (N H, D)
  at::Tensor to_out;        // (D, N H)
  Norm mlp_norm;            // of what the latents gathered
  at::Tensor mlp_in;        // (2 F, D): F values, then their F gates
  at::Tensor mlp_in_bias;   // (2 F)
  at::Tensor mlp_out;       // (D, F)
  at::Tensor mlp_out_bias;  // (D)
};

// For a text's rows X, with LN a layer norm (epsilon 1e-5):
//   Y = latents + concat_heads(softmax(Q K^T / sqrt(H)) V) to_out^T,  Q = LN(latents) to_query^T,
//       K and V = LN(X + layer_table) to_key^T and to_value^T;
//   Z = Y + (a * gelu(g)) mlp_out^T + mlp_out_bias,  [a g] = LN(Y) mlp_in^T + mlp_in_bias;
//   the vector is mean(Z) over the latents, divided by its length.
// As published this is 2 (R N H D + S (2 N H) D + 2 S R N H + R N H D + 3 R F D) operations a text; 1.2e12 for the
// published sizes (D 4096, S 32, R 768, N 32, H 2048, F 16384). Here it is 2.5e11, with the same result up to rounding:
//   - queries depend on no text, and neither does Q_h to_key_h, of which the scores are a product with LN(X): made
//   once;
//   - to_value and to_out go over the S rows before they are mixed, or over the R mixtures, whichever are fewer; in
//   small
//     models their product, a D x D matrix a head, is made once;
//   - mlp_out is linear, so it is applied once, to the mean over the latents.
//
// There is no form that takes a text's layers as they come: the S rows that it would save are few (512 KiB for the
// sizes above), and what it would keep instead, a mixture for each latent and head, is much (192 MiB).
//
// Thread-safety: const methods may be called from any number of threads. Exceptions of libtorch pass through.
class AttentionPool {
 public:
  struct Options {
    int64_t heads = 0;  // N, dividing N H
    // Intermediate results stay of the order of this many numbers, but no smaller than one text's rows, latents and
    // scores of one head.
    int64_t tile_elements = int64_t{1} << 24;
  };

  AttentionPool(AttentionPoolWeights weights, const Options& options);

  // x: (S, D) of one text, S ≥ 1 and, with a layer table, at most its rows. Returns (D), of length 1, in the weights'
  // type.
  at::Tensor Pool(const at::Tensor& x_SD) const;
  // The same for B ≥ 1 texts of S rows each. Returns (B, D).
  at::Tensor PoolBatch(const at::Tensor& x_BSD) const;

 private:
  at::Tensor Attend(const at::Tensor& normed_BSD) const;                // (B, R, D)
  at::Tensor Scores(int64_t head, const at::Tensor& normed_BSD) const;  // (B, S, R)
  at::Tensor Project(int64_t head, const at::Tensor& rows) const;       // (…, D) -> (…, D)
  at::Tensor MeanOfMlp(const at::Tensor& y_BRD) const;                  // (B, D)

  // Constant after construction. What was folded into another tensor is dropped: `weights_` has it no more.
  AttentionPoolWeights weights_;
  const Options options_;
  at::Tensor queries_;  // (N, R, D) with to_key folded in, else (N, R, H); divided by sqrt(H)
  at::Tensor keys_;     // (N, H, D), undefined where folded in
  at::Tensor values_;   // (N, D, D) with to_out folded in, else (N, H, D)
  at::Tensor outputs_;  // (N, D, H), undefined where folded in
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ATTENTION_POOL_H_
