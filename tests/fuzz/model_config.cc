// The JSON files of a model directory, one behind the other with a record separator (0x1E, which JSON does not hold)
// between them: a description that comes out is one that a model can be built from, and the same however the JSON is
// laid out.
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/models/description.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using fuzz::Require;

constexpr const char* kFiles[] = {"config.json",
                                  "tokenizer_config.json",
                                  "modules.json",
                                  "1_Pooling/config.json",
                                  "2_Dense/config.json",
                                  "sentence_bert_config.json",
                                  "config_sentence_transformers.json"};

// What lies in the folder; files that stay the same are not written again.
class ModelFolder {
 public:
  ModelFolder() {
    for (const char* subfolder : {"1_Pooling", "2_Dense"}) {
      std::filesystem::create_directory(fuzz::Folder().path() / subfolder);
    }
  }

  void Write(const std::vector<std::string>& contents) {
    for (size_t i = 0; i < std::size(kFiles); ++i) {
      const std::string content = i < contents.size() ? contents[i] : "";
      if (content == contents_[i]) continue;
      if (content.empty()) {
        std::filesystem::remove(fuzz::Folder().path() / kFiles[i]);
      } else {
        fuzz::Folder().Write(kFiles[i], content);
      }
      contents_[i] = content;
    }
  }

 private:
  std::string contents_[std::size(kFiles)];
};

void CheckAttention(const ArchSpec& arch) {
  Require(arch.heads >= 1 && arch.kv_heads >= 1 && arch.heads % arch.kv_heads == 0, "heads that share keys evenly");
  Require(arch.head_size >= 1 && arch.intermediate >= 1, "heads and an MLP of a size");
  Require(arch.attention.size() == static_cast<size_t>(arch.layers), "attention for each block");
  for (const AttentionSpec& block : arch.attention) {
    Require(block.window >= 0 && std::isfinite(block.scale) && block.scale > 0, "a window and a scale");
    Require(block.rope >= -1 && block.rope < static_cast<int>(arch.ropes.size()), "a rope that there is");
  }
  for (const RopeSpec& rope : arch.ropes) {
    Require(rope.dims >= 2 && rope.dims % 2 == 0 && rope.dims <= arch.head_size, "pairs of a head to turn");
    Require(rope.theta > 1 && std::isfinite(rope.theta), "a base above 1");
    Require(rope.scaling == RopeScaling::kNone || rope.factor >= 1, "a factor of at least 1");
    Require(rope.beta_fast > 0 && rope.beta_slow > 0, "turns that there can be");
    Require(std::isfinite(rope.attention_factor), "a finite attention factor");
  }
}

void CheckArch(const ArchSpec& arch) {
  Require(arch.layers >= 1 && arch.layers <= 10000 && arch.hidden >= 1 && arch.vocabulary >= 1, "sizes");
  Require(arch.token_types >= 0 && arch.padding_id >= 0 && arch.relative_buckets >= 0, "no negative counts");
  Require(std::isfinite(arch.norm_epsilon) && arch.norm_epsilon >= 0, "an epsilon whose root there is");
  Require(std::isfinite(arch.embedding_scale), "a finite scale of the embeddings");
  if (arch.mixer == Mixer::kAttention) return CheckAttention(arch);
  const MambaSpec& mamba = arch.mamba;
  Require(mamba.inner >= 1 && mamba.state >= 1 && mamba.conv_kernel >= 1 && mamba.time_step_rank >= 1, "Mamba's sizes");
}

void CheckDescription(const ModelDescription& model) {
  CheckArch(model.arch);
  Require(model.max_tokens >= 1 && model.max_tokens <= model.arch.max_tokens(), "1 token to as many as positions");
  Require(!IsTrained(model.default_pooling), "a pooling without a head");
  Require(model.default_prompt_name.empty() || model.prompts.contains(model.default_prompt_name), "a known prompt");
  int width = model.arch.hidden;
  for (const DenseSpec& dense : model.dense) {
    Require(dense.in_features == width && dense.out_features >= 1, "Dense modules that fit each other");
    width = dense.out_features;
  }
}

// All of a description but its folder.
std::string Told(const ModelDescription& model) {
  std::string dense;
  for (const DenseSpec& module : model.dense) {
    absl::StrAppend(&dense, module.directory.string(), " ", module.out_features, module.bias ? "b" : "", " ",
                    static_cast<int>(module.activation), ";");
  }
  return absl::StrCat(model.arch.Canonical(), "|", model.max_tokens, model.lowercase ? "l" : "",
                      static_cast<int>(model.default_pooling), model.include_prompt ? "p" : "", dense,
                      absl::StrJoin(model.prompts, ";", absl::PairFormatter("=")), "|", model.default_prompt_name);
}

// Bytes that are JSON, laid out anew.
std::string LaidOutAnew(const std::string& bytes) {
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? bytes : json.dump(3);
}

void Check(std::string_view bytes) {
  static ModelFolder folder;
  std::vector<std::string> contents = absl::StrSplit(ToAbsl(bytes), '\x1e');
  folder.Write(contents);
  const absl::StatusOr<ModelDescription> model = DescribeModel(fuzz::Folder().path());
  if (!model.ok()) {
    fuzz::RequireError(model.status(), {absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound},
                       "\\.json: .*(expected .|file not found)");
    return;
  }
  CheckDescription(*model);
  const absl::StatusOr<ModelDescription> both = DescribeModel(fuzz::Folder().path(), {.bidirectional = true});
  if (!both.ok())
    fuzz::RequireError(both.status(), {absl::StatusCode::kInvalidArgument}, "^--attention: expected auto");
  Require(both.ok() == (model->arch.mixer == Mixer::kAttention), "attention both ways where there is attention");
  for (std::string& content : contents) content = LaidOutAnew(content);
  folder.Write(contents);
  const absl::StatusOr<ModelDescription> again = DescribeModel(fuzz::Folder().path());
  Require(again.ok() && Told(*again) == Told(*model), "the same description of the same JSON");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
