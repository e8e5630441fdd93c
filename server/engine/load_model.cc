// LoadModel: from a model directory to everything that serving it takes.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "server/base/digest.h"
#include "server/base/status.h"
#include "server/engine/torch_runner.h"
#include "server/models/device.h"
#include "server/models/transformer.h"

namespace midlayer {

namespace {

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return absl::NotFoundError(absl::StrCat(file.string(), ": file not found or not readable"));
  return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
}

// Whatever changes a vector besides the weights.
std::string BaseDigest(const ModelDescription& model, const std::string& tokenizer_json, const std::string& dtype) {
  Sha256 digest;
  digest.Update("midlayer fingerprint 1;");
  digest.Update(model.arch.Canonical());
  digest.Update(absl::StrCat(";dtype=", dtype, ";max_tokens=", model.max_tokens, ";lowercase=", model.lowercase,
                             ";include_prompt=", model.include_prompt, ";default_prompt=", model.default_prompt_name));
  for (const auto& [name, prompt] : model.prompts) {
    digest.Update(absl::StrCat(";prompt ", name.size(), ":", name, "=", prompt.size(), ":", prompt));
  }
  digest.Update(absl::StrCat(";tokenizer=", tokenizer_json.size(), ":"));
  digest.Update(tokenizer_json);
  return digest.Finish();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const ModelDescription& model, const std::string& json,
                                                         const std::string& file) {
  auto tokenizer = Tokenizer::Load(json, {.max_tokens = model.max_tokens, .lowercase = model.lowercase});
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), file);
  if ((*tokenizer)->vocab_size() > model.arch.vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": vocabulary: expected ids below the ", model.arch.vocabulary,
                                                   " of config.json, found ", (*tokenizer)->vocab_size() - 1));
  }
  return tokenizer;
}

// One pass over a few tokens: libraries set themselves up on first use, which no request should wait for, and what
// cannot run at all shows now.
absl::Status WarmUp(const Transformer& transformer) {
  const PackedTokens batch{
      .ids = std::vector<int32_t>(8, 0), .offsets = {0, 8}, .last_layer = {transformer.max_layer()}};
  return CatchTorch([&] {
    const c10::InferenceMode inference;
    transformer.Run(batch, [](int, const at::Tensor&) { return true; });
  });
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(options.dtype));
  MIDLAYER_ASSIGN_OR_RETURN(const at::Device device, OpenDevice(options.device));
  if (options.threads > 0) at::set_num_threads(options.threads);
  LoadedModel model;
  ModelInfo& info = model.info;
  MIDLAYER_ASSIGN_OR_RETURN(info.description, DescribeModel(options.directory, options.overrides));
  const std::filesystem::path tokenizer_file = info.description.directory / "tokenizer.json";
  MIDLAYER_ASSIGN_OR_RETURN(const std::string tokenizer_json, ReadFile(tokenizer_file));
  MIDLAYER_ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(info.description, tokenizer_json, tokenizer_file.string()));
  MIDLAYER_ASSIGN_OR_RETURN(const WeightFiles weights, WeightFiles::Open(info.description.directory));
  absl::StatusOr<std::unique_ptr<Transformer>> transformer;
  MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] {
    transformer = Transformer::Load(
        info.description, weights,
        {.max_layer = options.max_layer, .device = device, .dtype = dtype, .adapters = options.adapters},
        BaseDigest(info.description, tokenizer_json, options.dtype));
  }));
  MIDLAYER_RETURN_IF_ERROR(transformer.status());
  MIDLAYER_RETURN_IF_ERROR(WarmUp(**transformer));
  info.max_layer = (*transformer)->max_layer();
  info.dense_features = (*transformer)->dense_features();
  info.fingerprints = (*transformer)->fingerprints();
  info.dtype = options.dtype;
  info.device = device.str();
  model.notes = (*transformer)->notes();
  model.transformer = *std::move(transformer);
  return model;
}

}  // namespace midlayer
