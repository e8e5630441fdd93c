#include "server/service/named_dataset.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "midlayer/v1/scoring.pb.h"
#include "server/base/status.h"
#include "server/service/scoring_convert.h"

namespace midlayer {

namespace {

bool IsPlainName(const std::string& name) {
  return !name.empty() && name[0] != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

absl::Status ReadNamedDataset(const std::string& directory, const std::string& name, DatasetBuilder& builder,
                              const Cancelled& cancelled) {
  if (!IsPlainName(name)) {
    return absl::InvalidArgumentError(
        "options.dataset_name: expected letters, digits, '.', '_' and '-', not beginning with '.', found other "
        "characters");
  }
  if (directory.empty()) {
    return absl::NotFoundError(
        absl::StrCat("options.dataset_name: expected a server with data sets (--datasets), found none for ", name));
  }
  std::ifstream file(std::filesystem::path(directory) / (name + ".jsonl"));
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("options.dataset_name: expected a file ", name, ".jsonl in the server's data sets, found none"));
  }
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    MIDLAYER_RETURN_IF_ERROR(CheckCancelled(cancelled));
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    v1::Example wire;
    const auto parsed = google::protobuf::util::JsonStringToMessage(line, &wire, options);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ".jsonl, line ", number, ": expected an Example in JSON, found ", parsed.message().ToString()));
    }
    MIDLAYER_RETURN_IF_ERROR(
        Annotate(builder.Add(ToExample(std::move(wire))), absl::StrCat(name, ".jsonl, line ", number)));
  }
  if (file.bad()) return absl::UnavailableError(absl::StrCat(name, ".jsonl: could not be read to its end"));
  return absl::OkStatus();
}

}  // namespace midlayer
