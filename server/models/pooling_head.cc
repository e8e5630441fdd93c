#include "server/models/pooling_head.h"

#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/digest.h"
#include "server/base/status.h"
#include "server/models/device.h"
#include "server/models/tensor_copy.h"
#include "server/weights/safetensors.h"

namespace midlayer {

namespace {

using Shape = std::vector<int64_t>;
using Tensors = std::map<std::string, TensorView>;

constexpr char kLatents[] = "latents";
constexpr char kLayerTable[] = "pos_emb.weight";
constexpr char kToQuery[] = "cross_attend_blocks.0.fn.to_q.weight";
constexpr char kToKeyValue[] = "cross_attend_blocks.0.fn.to_kv.weight";
constexpr char kToOut[] = "cross_attend_blocks.0.fn.to_out.weight";
constexpr char kRowNorm[] = "cross_attend_blocks.0.norm";
constexpr char kLatentNorm[] = "cross_attend_blocks.0.norm_context";
constexpr char kMlpNorm[] = "cross_attend_blocks.1.norm";
constexpr char kMlpIn[] = "cross_attend_blocks.1.fn.net.0";
constexpr char kMlpOut[] = "cross_attend_blocks.1.fn.net.2";

bool PoolsLayers(PoolingDesign design) {
  return design == PoolingDesign::kMultiLayerCausal || design == PoolingDesign::kMultiLayerBidirectional;
}

std::string ShapeText(const Shape& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::Status TensorError(std::string_view name, const std::string& expected, const std::string& found) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", ToAbsl(name), ": expected ", expected, ", found ", found));
}

// What the metadata say.
struct Header {
  PoolingDesign design = PoolingDesign::kLastLayerCausal;
  int heads = 0;
};

absl::StatusOr<Header> ReadMetadata(const std::map<std::string, std::string>& metadata) {
  const auto value = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string("none") : found->second;
  };
  const auto error = [&](const char* key, const char* expected) {
    return absl::InvalidArgumentError(absl::StrCat("metadata ", key, ": expected ", expected, ", found ", value(key)));
  };
  if (value("format") != "midlayer.pooling_head") {
    return error("format", "midlayer.pooling_head, as tools/convert_pooling_head.py writes it");
  }
  if (value("version") != "1") return error("version", "1");
  Header header;
  int design = 0;
  if (!absl::SimpleAtoi(value("design"), &design) || design < 2 || design > 5) return error("design", "2, 3, 4 or 5");
  header.design = static_cast<PoolingDesign>(design);
  if (!absl::SimpleAtoi(value("heads"), &header.heads) || header.heads < 1) {
    return error("heads", "a number from 1 on");
  }
  return header;
}

// The extents of a matrix that sizes are read from.
absl::StatusOr<Shape> MatrixShape(const Tensors& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return TensorError(name, "a matrix", "none");
  const Shape& shape = found->second.shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) return TensorError(name, "a matrix", ShapeText(shape));
  return shape;
}

// Rows of the layer table; 0 for a design that has none.
absl::StatusOr<int64_t> TableRows(const Tensors& tensors, PoolingDesign design, const PoolingHead::Options& options) {
  if (!PoolsLayers(design)) {
    if (!tensors.contains(kLayerTable)) return 0;
    return TensorError(kLayerTable, absl::StrCat("none in design ", static_cast<int>(design)),
                       "one: a head of design 3 or 5");
  }
  MIDLAYER_ASSIGN_OR_RETURN(const Shape table, MatrixShape(tensors, kLayerTable));
  if (table[0] < options.layers) {
    return TensorError(kLayerTable, absl::StrCat("at least ", options.layers, " rows, one for each layer of the model"),
                       absl::StrCat(table[0]));
  }
  return table[0];
}

absl::StatusOr<PoolingHeadSizes> ReadSizes(const Tensors& tensors, const Header& header,
                                           const PoolingHead::Options& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const Shape latents, MatrixShape(tensors, kLatents));
  MIDLAYER_ASSIGN_OR_RETURN(const Shape to_query, MatrixShape(tensors, kToQuery));
  MIDLAYER_ASSIGN_OR_RETURN(const Shape mlp_out, MatrixShape(tensors, absl::StrCat(kMlpOut, ".weight")));
  if (latents[1] != options.hidden) {
    return TensorError(kLatents, absl::StrCat("rows of ", options.hidden, " numbers, the model's hidden size"),
                       absl::StrCat(latents[1], ": a head for models of another width"));
  }
  if (to_query[0] % header.heads != 0) {
    return TensorError(kToQuery, absl::StrCat("rows that ", header.heads, " heads divide"), absl::StrCat(to_query[0]));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const int64_t table_rows, TableRows(tensors, header.design, options));
  return PoolingHeadSizes{.hidden = options.hidden,
                          .latents = latents[0],
                          .inner = to_query[0],
                          .mlp = mlp_out[1],
                          .table_rows = table_rows};
}

absl::Status CheckShapes(const Tensors& tensors, const PoolingHeadSizes& sizes) {
  const std::map<std::string, Shape> shapes = PoolingHeadShapes(sizes);
  for (const auto& [name, shape] : shapes) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) return TensorError(name, ShapeText(shape), "none");
    if (found->second.shape != shape) return TensorError(name, ShapeText(shape), ShapeText(found->second.shape));
  }
  for (const auto& [name, view] : tensors) {
    if (!shapes.contains(name)) return TensorError(name, "none of this name in a pooling head", ShapeText(view.shape));
  }
  return absl::OkStatus();
}

// Copies one tensor after the other. Errors are sticky: the first is kept, and undefined tensors come back.
class Copier {
 public:
  Copier(const SafetensorsFile& file, at::Device device) : file_(file), device_(device) {}

  at::Tensor Take(const std::string& name) { return Copy(name, file_.tensors().at(name)); }

  AttentionPoolWeights::Norm TakeNorm(const std::string& module) {
    return {.weight = Take(module + ".weight"), .bias = Take(module + ".bias")};
  }

  // The first (0) or second (1) half of the rows.
  at::Tensor TakeHalf(const std::string& name, int half) {
    TensorView view = file_.tensors().at(name);
    view.shape[0] /= 2;
    view.data = view.data.subspan(half * (view.data.size() / 2), view.data.size() / 2);
    return Copy(name, view);
  }

  const absl::Status& status() const { return status_; }

 private:
  at::Tensor Copy(const std::string& name, const TensorView& view) {
    if (!status_.ok()) return at::Tensor();
    absl::StatusOr<at::Tensor> copy = CopyTensor(name, view, device_, at::kFloat);
    file_.Release(view);
    status_ = copy.status();
    return copy.ok() ? *std::move(copy) : at::Tensor();
  }

  const SafetensorsFile& file_;
  const at::Device device_;
  absl::Status status_;
};

absl::StatusOr<AttentionPoolWeights> CopyWeights(const SafetensorsFile& file, at::Device device) {
  Copier copier(file, device);
  const std::string mlp_in = kMlpIn, mlp_out = kMlpOut;
  AttentionPoolWeights weights{.latents = copier.Take(kLatents),
                               .layer_table = {},
                               .row_norm = copier.TakeNorm(kRowNorm),
                               .latent_norm = copier.TakeNorm(kLatentNorm),
                               .to_query = copier.Take(kToQuery),
                               .to_key = copier.TakeHalf(kToKeyValue, 0),
                               .to_value = copier.TakeHalf(kToKeyValue, 1),
                               .to_out = copier.Take(kToOut),
                               .mlp_norm = copier.TakeNorm(kMlpNorm),
                               .mlp_in = copier.Take(mlp_in + ".weight"),
                               .mlp_in_bias = copier.Take(mlp_in + ".bias"),
                               .mlp_out = copier.Take(mlp_out + ".weight"),
                               .mlp_out_bias = copier.Take(mlp_out + ".bias")};
  if (file.tensors().contains(kLayerTable)) weights.layer_table = copier.Take(kLayerTable);
  MIDLAYER_RETURN_IF_ERROR(copier.status());
  return weights;
}

std::string DigestOf(const SafetensorsFile& file, const Header& header) {
  Sha256 digest;
  digest.Update(
      absl::StrCat("midlayer pooling head 1;design=", static_cast<int>(header.design), ";heads=", header.heads));
  for (const auto& [name, view] : file.tensors()) {
    HashTensor(name, view, digest);
    file.Release(view);
  }
  return digest.Finish();
}

}  // namespace

std::map<std::string, std::vector<int64_t>> PoolingHeadShapes(const PoolingHeadSizes& sizes) {
  const int64_t hidden = sizes.hidden;
  std::map<std::string, Shape> shapes = {
      {kLatents, {sizes.latents, hidden}},
      {kToQuery, {sizes.inner, hidden}},
      {kToKeyValue, {2 * sizes.inner, hidden}},
      {kToOut, {hidden, sizes.inner}},
      {absl::StrCat(kMlpIn, ".weight"), {2 * sizes.mlp, hidden}},
      {absl::StrCat(kMlpIn, ".bias"), {2 * sizes.mlp}},
      {absl::StrCat(kMlpOut, ".weight"), {hidden, sizes.mlp}},
      {absl::StrCat(kMlpOut, ".bias"), {hidden}},
  };
  for (const char* norm : {kRowNorm, kLatentNorm, kMlpNorm}) {
    for (const char* part : {".weight", ".bias"}) shapes[absl::StrCat(norm, part)] = {hidden};
  }
  if (sizes.table_rows > 0) shapes[kLayerTable] = {sizes.table_rows, hidden};
  return shapes;
}

absl::StatusOr<std::unique_ptr<const PoolingHead>> PoolingHead::Load(const std::filesystem::path& path,
                                                                     const Options& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(path));
  const absl::StatusOr<Header> header = ReadMetadata(file->metadata());
  if (!header.ok()) return Annotate(header.status(), path.string());
  const absl::StatusOr<PoolingHeadSizes> sizes = ReadSizes(file->tensors(), *header, options);
  if (!sizes.ok()) return Annotate(sizes.status(), path.string());
  MIDLAYER_RETURN_IF_ERROR(Annotate(CheckShapes(file->tensors(), *sizes), path.string()));
  std::string digest = DigestOf(*file, *header);
  MIDLAYER_ASSIGN_OR_RETURN(AttentionPoolWeights weights, CopyWeights(*file, options.device));
  std::unique_ptr<const PoolingHead> head;
  MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] {
    AttentionPool pool(std::move(weights), {.heads = header->heads});
    head.reset(new PoolingHead(header->design, sizes->table_rows, std::move(pool), std::move(digest)));
  }));
  return head;
}

bool PoolingHead::multi_layer() const { return PoolsLayers(design_); }

bool PoolingHead::bidirectional() const {
  return design_ == PoolingDesign::kLastLayerBidirectional || design_ == PoolingDesign::kMultiLayerBidirectional;
}

std::optional<Pooling> PoolingHead::token_pooling() const {
  switch (design_) {
    case PoolingDesign::kLastLayerCausal:
    case PoolingDesign::kMultiLayerCausal:
      return Pooling::kLast;
    case PoolingDesign::kMultiLayerBidirectional:
      return Pooling::kMean;
    case PoolingDesign::kLastLayerBidirectional:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace midlayer
