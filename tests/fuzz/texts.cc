// What `midlayer embed` reads: lines, or by the first byte JSON Lines. Every line that is not blank comes out once, as
// a text or as an error.
#include "client/cli/text_source.h"

#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/base/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using cli::SourceText;
using fuzz::Require;

std::vector<SourceText> Read(const std::string& bytes, cli::InputFormat format) {
  const auto source =
      cli::TextsFromLines(std::make_shared<std::istringstream>(bytes), format, static_cast<double>(bytes.size()));
  std::vector<SourceText> texts;
  while (source->Next(&texts.emplace_back())) {
  }
  texts.pop_back();
  Require(source->position() == static_cast<double>(bytes.size()), "all of the input");
  return texts;
}

// The lines that are not blank, by their number.
std::vector<std::pair<int64_t, std::string>> Lines(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  std::vector<std::pair<int64_t, std::string>> lines;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(ToAbsl(bytes), '\n')) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != absl::string_view::npos) lines.emplace_back(number, line);
  }
  return lines;
}

void CheckText(const SourceText& text, const std::string& line, bool json) {
  if (text.status.ok()) {
    Require(IsUtf8(text.text, nullptr), "UTF-8");
    if (!json) Require(text.text == line, "the line as it is");
    return;
  }
  fuzz::RequireError(text.status, {absl::StatusCode::kInvalidArgument},
                     json
                         ? "^(not UTF-8, at byte|not JSON, at byte|a number that is too large|nested deeper than \\d+$|"
                           "expected a JSON object|no member|\"text\": expected)"
                         : "^not UTF-8, at byte \\d+$");
  Require(text.text.empty() && (json || !IsUtf8(line, nullptr)), "an error where there is cause");
}

void Check(std::string_view bytes) {
  const bool json = fuzz::TakeByte(bytes) % 2 == 1;
  const std::vector<SourceText> texts =
      Read(std::string(bytes), json ? cli::InputFormat::kJsonLines : cli::InputFormat::kText);
  const std::vector<std::pair<int64_t, std::string>> lines = Lines(bytes);
  Require(texts.size() == lines.size(), "a text or an error for each line");
  for (size_t i = 0; i < texts.size(); ++i) {
    Require(texts[i].line == lines[i].first, "the number of the line");
    CheckText(texts[i], lines[i].second, json);
    if (!texts[i].status.ok()) continue;
    const std::vector<SourceText> again =
        Read(nlohmann::json{{"text", texts[i].text}}.dump(), cli::InputFormat::kJsonLines);
    Require(again.size() == 1 && again[0].status.ok() && again[0].text == texts[i].text, "the same text as JSON");
  }
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
