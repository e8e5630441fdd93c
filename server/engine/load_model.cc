// LoadModel: from a model directory to everything that serving it takes.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <malloc.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/base/digest.h"
#include "server/base/processors.h"
#include "server/base/read_file.h"
#include "server/base/status.h"
#include "server/engine/dtype_probe.h"
#include "server/engine/torch_runner.h"
#include "server/models/device.h"
#include "server/models/pooling_head.h"
#include "server/models/transformer.h"

namespace midlayer {

namespace {

constexpr char kInt8[] = "int8";

// Whatever changes a vector besides the weights. `dtype`: as LoadedDtype() says it.
std::string BaseDigest(const ModelDescription& model, const std::string& tokenizer_json, const std::string& dtype,
                       const std::string& pooling_head) {
  Sha256 digest;
  digest.Update("midlayer fingerprint 1;");
  digest.Update(model.arch.Canonical());
  digest.Update(absl::StrCat(";dtype=", dtype, ";max_tokens=", model.max_tokens, ";lowercase=", model.lowercase,
                             ";include_prompt=", model.include_prompt, ";default_prompt=", model.default_prompt_name));
  for (const auto& [name, prompt] : model.prompts) {
    digest.Update(absl::StrCat(";prompt ", name.size(), ":", name, "=", prompt.size(), ":", prompt));
  }
  if (!pooling_head.empty()) digest.Update(absl::StrCat(";pooling_head=", pooling_head));
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

// What cannot run at all shows now. Returns when the weights are in their place: runners use them on streams of their
// own.
absl::Status TryOut(const Transformer& transformer) {
  return CatchTorch([&] {
    const c10::InferenceMode inference;
    transformer.WarmUp();
    Synchronize(transformer.device());
  });
}

// The head, where the options name one that fits the model and its attention.
absl::StatusOr<std::shared_ptr<const PoolingHead>> LoadHead(const LoadOptions& options, const ArchSpec& arch,
                                                            at::Device device) {
  std::shared_ptr<const PoolingHead> head;
  if (options.pooling_head.empty()) return head;
  auto loaded =
      PoolingHead::Load(options.pooling_head, {.hidden = arch.hidden, .layers = arch.layers, .device = device});
  if (!loaded.ok()) return Annotate(loaded.status(), "--pooling-head");
  const bool bidirectional = arch.direction == AttentionDirection::kBidirectional;
  if ((*loaded)->bidirectional() != bidirectional) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--pooling-head: expected a head for ", AttentionDirectionName(arch.direction), " attention, found design ",
        static_cast<int>((*loaded)->design()), ", which was trained with the other (see --attention)"));
  }
  head = *std::move(loaded);
  return head;
}

// The pooling that a head is served as.
std::optional<Pooling> TrainedPooling(const PoolingHead* head) {
  if (head == nullptr) return std::nullopt;
  return head->multi_layer() ? Pooling::kTrainedMulti : Pooling::kTrainedLast;
}

// A default that takes a head needs one of that kind.
absl::Status CheckDefaultPooling(const ModelInfo& info) {
  const Pooling pooling = info.description.default_pooling;
  if (!IsTrained(pooling) || info.trained_pooling == pooling) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--default-pooling: expected ", info.trained_pooling ? "the pooling of the head, " : "a --pooling-head for it",
      info.trained_pooling ? ToAbsl(PoolingName(*info.trained_pooling)) : "", ", found ",
      ToAbsl(PoolingName(pooling))));
}

// As ParseDtype(), of what is not in int8; int8 where it can be.
absl::StatusOr<at::ScalarType> WideDtype(const LoadOptions& options, absl::Span<const at::Device> devices) {
  if (options.dtype != kInt8) return ParseDtype(options.dtype);
  if (std::any_of(devices.begin(), devices.end(), [](at::Device device) { return !device.is_cpu(); })) {
    return absl::InvalidArgumentError("--dtype: expected float32, bfloat16 or float16 for a GPU, found int8");
  }
  if (!CanQuantize()) {
    return absl::FailedPreconditionError(
        "--dtype: int8 takes a processor that multiplies it (VNNI or AMX), and this one does not");
  }
  return at::kFloat;
}

absl::StatusOr<std::string> LoadedDtype(const LoadOptions& options) {
  if (!options.pure_low_precision) return options.dtype;
  if (options.dtype == "bfloat16" || options.dtype == "float16") return options.dtype + ",pure";
  return absl::InvalidArgumentError(
      absl::StrCat("--pure-low-precision: expected --dtype bfloat16 or float16 with it, found ", options.dtype));
}

absl::StatusOr<LoadedModel> LoadInDtype(const LoadOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::string loaded_dtype, LoadedDtype(options));
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<at::Device> devices, OpenDevices(options.device));
  MIDLAYER_ASSIGN_OR_RETURN(const at::ScalarType dtype, WideDtype(options, devices));
  at::set_num_threads(options.threads > 0 ? options.threads : std::min(at::get_num_threads(), UsableProcessors()));
  LoadedModel model;
  ModelInfo& info = model.info;
  MIDLAYER_ASSIGN_OR_RETURN(info.description, DescribeModel(options.directory, options.overrides));
  const std::filesystem::path tokenizer_file = info.description.directory / "tokenizer.json";
  MIDLAYER_ASSIGN_OR_RETURN(const std::string tokenizer_json, ReadFile(tokenizer_file));
  MIDLAYER_ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(info.description, tokenizer_json, tokenizer_file.string()));
  MIDLAYER_ASSIGN_OR_RETURN(const WeightFiles weights, WeightFiles::Open(info.description.directory));
  info.dtype = loaded_dtype;
  for (const at::Device device : devices) {
    MIDLAYER_ASSIGN_OR_RETURN(std::shared_ptr<const PoolingHead> head,
                              LoadHead(options, info.description.arch, device));
    info.trained_pooling = TrainedPooling(head.get());
    MIDLAYER_RETURN_IF_ERROR(CheckDefaultPooling(info));
    const std::string base =
        BaseDigest(info.description, tokenizer_json, info.dtype, head == nullptr ? "" : head->digest());
    absl::StatusOr<std::unique_ptr<Transformer>> transformer;
    const bool first = model.replicas.empty();  // it decides how deep all of them are
    MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] {
      transformer = Transformer::Load(info.description, weights,
                                      {.max_layer = first ? options.max_layer : info.max_layer,
                                       .device = device,
                                       .dtype = dtype,
                                       .pure_low_precision = options.pure_low_precision,
                                       .int8 = options.dtype == kInt8,
                                       .fast_paths = options.fast_paths,
                                       .adapters = options.adapters,
                                       .enough_layers = first ? options.enough_layers : nullptr},
                                      base);
    }));
    MIDLAYER_RETURN_IF_ERROR(transformer.status());
    MIDLAYER_RETURN_IF_ERROR(TryOut(**transformer));
    model.replicas.push_back({.transformer = *std::move(transformer), .pooling_head = std::move(head)});
    info.max_layer = model.replicas[0].transformer->max_layer();
    absl::StrAppend(&info.device, info.device.empty() ? "" : ",", device.str());
  }
  const Transformer& loaded = *model.replicas[0].transformer;
  info.dense_features = loaded.dense_features();
  info.fingerprints = loaded.fingerprints();
  model.notes = loaded.notes();
  return model;
}

// One after the other, so that memory never holds both.
absl::StatusOr<LoadedModel> LoadInDtypeThatHolds(const LoadOptions& options) {
  constexpr double kLeastCosine = 0.9999;
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<at::Device> devices, OpenDevices(options.device));
  LoadOptions wide = options, narrow = options;
  wide.dtype = "float32";
  narrow.dtype = "bfloat16";
  const auto noted = [](absl::StatusOr<LoadedModel> model, const std::string& why) {
    if (model.ok()) model->notes.push_back(absl::StrCat("--dtype auto: ", model->info.dtype, ", ", why));
    return model;
  };
  if (!std::all_of(devices.begin(), devices.end(), MultipliesBFloat16)) {
    return noted(LoadInDtype(wide), "as the device has no instructions for products in bfloat16");
  }
  at::Tensor expected;
  {
    LoadOptions all_layers = wide;
    all_layers.enough_layers = nullptr;
    MIDLAYER_ASSIGN_OR_RETURN(const LoadedModel model, LoadInDtype(all_layers));
    MIDLAYER_ASSIGN_OR_RETURN(expected, ProbeVectors(model));
  }
  malloc_trim(0);
  MIDLAYER_ASSIGN_OR_RETURN(LoadedModel model, LoadInDtype(narrow));
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor found, ProbeVectors(model));
  const double cosine = LeastCosine(expected.narrow(0, 0, found.size(0)), found);
  const std::string why = absl::StrFormat(
      "as bfloat16 has a lowest cosine of %.6f to float32 over all layers of %d texts", cosine, found.size(1));
  if (cosine >= kLeastCosine) return noted(std::move(model), why);
  model = LoadedModel();
  malloc_trim(0);
  return noted(LoadInDtype(wide), why);
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options) {
  return options.dtype == "auto" && !options.pure_low_precision ? LoadInDtypeThatHolds(options) : LoadInDtype(options);
}

}  // namespace midlayer
