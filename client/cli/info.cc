#include "client/cli/info.h"

#include <map>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/json.h"
#include "client/cli/names.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

void AddLine(std::string* block, std::string_view name, const std::string& value) {
  absl::StrAppend(block, PadRight(name, 14), Printable(value), "\n");
}

std::string FormatLayers(const v1::GetModelResponse& model) {
  const std::string loaded = absl::StrCat("0 (embeddings) to ", model.max_layer());
  if (model.max_layer() == model.layers()) return absl::StrCat(loaded, ", all loaded");
  return absl::StrCat(loaded, " are loaded, of ", model.layers());
}

std::string FormatSelection(const v1::GetModelResponse& model) {
  if (!model.has_selection()) return absl::StrCat("none: requests without a layer get layer ", model.max_layer());
  const v1::Selection& selection = model.selection();
  std::string text = absl::StrCat("layer ", selection.layer(), " ", PoolingName(selection.pooling()));
  if (!selection.criterion().empty()) absl::StrAppend(&text, " by ", selection.criterion());
  if (selection.created_unix_seconds() > 0) {
    const absl::Time created = absl::FromUnixSeconds(selection.created_unix_seconds());
    absl::StrAppend(&text, ", ", absl::FormatTime("%Y-%m-%d %H:%M UTC", created, absl::UTCTimeZone()));
  }
  return absl::StrCat(text, ", id ", selection.id());
}

absl::Status Run(const InfoOptions& options, const Console& console) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(options.connection));
  MIDLAYER_ASSIGN_OR_RETURN(const v1::GetModelResponse model, connection->GetModel());
  *console.out << (options.json ? ToJson(model) : FormatModel(model)) << std::flush;
  return console.out->good() ? absl::OkStatus() : absl::UnknownError("cannot write the output");
}

// "mean; also cls, last, max"
std::string FormatPoolings(const v1::GetModelResponse& model) {
  std::vector<std::string> others;
  for (const int pooling : model.poolings()) {
    if (pooling != model.default_pooling()) others.push_back(PoolingName(static_cast<v1::Pooling>(pooling)));
  }
  return absl::StrCat(PoolingName(model.default_pooling()), others.empty() ? "" : "; also ",
                      absl::StrJoin(others, ", "));
}

}  // namespace

std::string FormatModel(const v1::GetModelResponse& model) {
  std::string block;
  AddLine(&block, "model", absl::StrCat(model.name(), " (", model.architecture(), ")"));
  AddLine(&block, "layers", FormatLayers(model));
  AddLine(&block, "dimensions", absl::StrCat(model.hidden_size()));
  if (model.dense_dimensions() > 0) {
    AddLine(&block, "dense", absl::StrCat(model.dense_dimensions(), " dimensions after the model's Dense modules"));
  }
  AddLine(&block, "attention", model.attention());
  AddLine(&block, "pooling", FormatPoolings(model));
  AddLine(&block, "final norm", model.has_final_norm() ? "yes: --state=normed differs from raw" : "none");
  AddLine(&block, "selection", FormatSelection(model));
  const std::map<std::string, std::string> prompts(model.prompts().begin(), model.prompts().end());
  for (const auto& [name, prompt] : prompts) {
    const bool is_default = name == model.default_prompt_name();
    AddLine(&block, "prompt", absl::StrCat(name, is_default ? " (default)" : "", ": \"", prompt, "\""));
  }
  AddLine(&block, "limits",
          absl::StrCat(model.max_tokens(), " tokens a text, ", model.max_text_bytes(), " bytes a text, ",
                       model.max_texts(), " texts a request"));
  AddLine(&block, "runs on", absl::StrCat(model.device(), " in ", model.dtype()));
  if (model.fingerprints_size() > 0) {
    AddLine(&block, "fingerprint",
            absl::StrCat(model.fingerprints(model.fingerprints_size() - 1), " (layer ", model.fingerprints_size() - 1,
                         ")"));
  }
  AddLine(&block, "server", absl::StrCat("midlayer ", model.server_version()));
  return block;
}

int RunInfo(const InfoOptions& options, const Console& console) {
  const absl::Status status = Run(options, console);
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

}  // namespace midlayer::cli
