#include "server/nn/attention_pool.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace midlayer {

namespace {

constexpr double kNormEpsilon = 1e-5;
constexpr double kLeastLength = 1e-12;

at::Tensor Normed(const AttentionPoolWeights::Norm& norm, const at::Tensor& x) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, kNormEpsilon);
}

// (N H, D) -> (N, H, D)
at::Tensor Heads(const at::Tensor& weight, int64_t heads) {
  return weight.view({heads, weight.size(0) / heads, weight.size(1)});
}

// Whether scores take fewer operations from Q_h to_key_h (R D for a row and a head) than from keys (H D, then R H).
bool FoldsKeys(int64_t latents, int64_t hidden, int64_t head_size) {
  return latents * hidden < head_size * (hidden + latents);
}

// Whether a row takes fewer operations by to_out_h to_value_h (D D) than by one after the other (2 H D).
bool FoldsValues(int64_t hidden, int64_t head_size) { return hidden < 2 * head_size; }

}  // namespace

AttentionPool::AttentionPool(AttentionPoolWeights weights, const Options& options)
    : weights_(std::move(weights)), options_(options) {
  const int64_t latents = weights_.latents.size(0), hidden = weights_.latents.size(1);
  const int64_t head_size = weights_.to_query.size(0) / options.heads;
  queries_ = at::linear(Normed(weights_.latent_norm, weights_.latents), weights_.to_query)
                 .div_(std::sqrt(static_cast<double>(head_size)))
                 .view({latents, options.heads, head_size})
                 .transpose(0, 1)
                 .contiguous();
  keys_ = Heads(weights_.to_key, options.heads);
  if (FoldsKeys(latents, hidden, head_size)) queries_ = at::bmm(queries_, std::exchange(keys_, {}));
  values_ = Heads(weights_.to_value, options.heads);
  outputs_ = weights_.to_out.view({hidden, options.heads, head_size}).transpose(0, 1);
  if (FoldsValues(hidden, head_size)) values_ = at::bmm(std::exchange(outputs_, {}), values_);
  for (at::Tensor* done : {&weights_.to_query, &weights_.to_key, &weights_.to_value, &weights_.to_out}) done->reset();
}

at::Tensor AttentionPool::Pool(const at::Tensor& x_SD) const { return PoolBatch(x_SD.unsqueeze(0))[0]; }

at::Tensor AttentionPool::PoolBatch(const at::Tensor& x_BSD) const {
  const int64_t texts = x_BSD.size(0), rows = x_BSD.size(1), hidden = x_BSD.size(2), latents = weights_.latents.size(0);
  const int64_t at_once = std::max<int64_t>(1, options_.tile_elements / (std::max(rows, latents) * hidden));
  std::vector<at::Tensor> means;
  for (int64_t first = 0; first < texts; first += at_once) {
    at::Tensor x = x_BSD.narrow(0, first, std::min(at_once, texts - first)).to(weights_.latents.options());
    if (weights_.layer_table.defined()) x = x + weights_.layer_table.narrow(0, 0, rows);
    const at::Tensor y_BRD = Attend(Normed(weights_.row_norm, x));
    means.push_back(at::mean(y_BRD, 1) + MeanOfMlp(y_BRD));
  }
  const at::Tensor mean_BD = at::cat(means);
  return mean_BD / at::clamp_min(at::linalg_vector_norm(mean_BD, 2, 1, /*keepdim=*/true), kLeastLength);
}

at::Tensor AttentionPool::Attend(const at::Tensor& normed_BSD) const {
  const int64_t texts = normed_BSD.size(0), rows = normed_BSD.size(1), latents = weights_.latents.size(0);
  at::Tensor y_BRD = weights_.latents.unsqueeze(0).repeat({texts, 1, 1});
  for (int64_t head = 0; head < options_.heads; ++head) {
    const at::Tensor shares_BRS = at::softmax(Scores(head, normed_BSD), 1).transpose(1, 2);
    if (rows <= latents) {
      y_BRD.baddbmm_(shares_BRS, Project(head, normed_BSD));
    } else {
      y_BRD.add_(Project(head, at::bmm(shares_BRS, normed_BSD)));
    }
  }
  return y_BRD;
}

at::Tensor AttentionPool::Scores(int64_t head, const at::Tensor& normed_BSD) const {
  return at::linear(keys_.defined() ? at::linear(normed_BSD, keys_[head]) : normed_BSD, queries_[head]);
}

at::Tensor AttentionPool::Project(int64_t head, const at::Tensor& rows) const {
  const at::Tensor values = at::linear(rows, values_[head]);
  return outputs_.defined() ? at::linear(values, outputs_[head]) : values;
}

at::Tensor AttentionPool::MeanOfMlp(const at::Tensor& y_BRD) const {
  const int64_t texts = y_BRD.size(0), latents = y_BRD.size(1), width = weights_.mlp_out.size(1);
  const int64_t at_once = std::max<int64_t>(1, options_.tile_elements / (texts * 2 * width));
  at::Tensor sum_BF = at::zeros({texts, width}, y_BRD.options());
  for (int64_t first = 0; first < latents; first += at_once) {
    const at::Tensor y = y_BRD.narrow(1, first, std::min(at_once, latents - first));
    const at::Tensor inner = at::linear(Normed(weights_.mlp_norm, y), weights_.mlp_in, weights_.mlp_in_bias);
    sum_BF += at::sum(inner.narrow(2, 0, width) * at::gelu(inner.narrow(2, width, width)), 1);
  }
  return at::linear(sum_BF / latents, weights_.mlp_out, weights_.mlp_out_bias);
}

}  // namespace midlayer
