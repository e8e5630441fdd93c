// The client's data sets: JSON Lines, CSV or plain lines, by the first byte. What is read is written as JSON Lines and
// read again the same, by the client and by the server.
#include "client/cli/dataset.h"

#include <google/protobuf/util/message_differencer.h>

#include <sstream>

#include "server/base/utf8.h"
#include "server/service/named_dataset.h"
#include "server/service/scoring_convert.h"
#include "tests/fuzz/examples.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using absl::StatusCode;
using fuzz::Require;
using Examples = std::vector<v1::Example>;

absl::StatusOr<Examples> ReadByClient(std::string_view bytes, const cli::DatasetOptions& options) {
  std::istringstream in{std::string(bytes)};
  const cli::Console console{.in = &in, .out = nullptr, .err = nullptr};
  MIDLAYER_ASSIGN_OR_RETURN(const auto dataset, cli::OpenDataset(options, console));
  Examples examples;
  while (true) {
    MIDLAYER_ASSIGN_OR_RETURN(const bool found, dataset->Next(&examples.emplace_back()));
    if (found) continue;
    examples.pop_back();
    return examples;
  }
}

absl::StatusOr<Dataset> Added(const Examples& examples) {
  DatasetBuilder builder({});
  for (const v1::Example& example : examples) MIDLAYER_RETURN_IF_ERROR(builder.Add(ToExample(example)));
  return builder.Finish(static_cast<int64_t>(examples.size()), 0);
}

absl::StatusOr<Dataset> ReadByServer(const std::string& lines) {
  fuzz::Folder().Write("fuzz.jsonl", lines);
  DatasetBuilder builder({});
  MIDLAYER_RETURN_IF_ERROR(ReadNamedDataset(fuzz::Folder().path().string(), "fuzz", builder, [] { return false; }));
  return builder.Finish(std::numeric_limits<int64_t>::max(), 0);
}

bool Same(const Examples& a, const Examples& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const v1::Example& one, const v1::Example& other) {
    return google::protobuf::util::MessageDifferencer::Equals(one, other);
  });
}

void CheckWritten(const Examples& examples) {
  std::string lines;
  for (const v1::Example& example : examples) lines += fuzz::JsonLine(example);
  const absl::StatusOr<Examples> again =
      ReadByClient(lines, {.dataset = "-", .format = cli::DatasetFormat::kJsonLines});
  Require(again.ok() && Same(examples, *again), "the same examples from what they were written as");
  const absl::StatusOr<Dataset> sent = Added(examples), read = ReadByServer(lines);
  Require(sent.ok() == read.ok(), "a server that takes a file where it takes what the client makes of it");
  Require(!sent.ok() || sent->digest == read->digest, "the same data set on the server's disk and from the client");
}

cli::DatasetOptions Options(uint8_t choice) {
  cli::DatasetOptions options{.dataset = "-"};
  if (choice % 4 < 3) options.format = static_cast<cli::DatasetFormat>(choice % 4);
  if ((choice & 4) != 0) options.fields = {.text = "t", .label = "l", .paired_text = "p", .score = "s"};
  return options;
}

void Check(std::string_view bytes) {
  const cli::DatasetOptions options = Options(fuzz::TakeByte(bytes));
  const absl::StatusOr<Examples> examples = ReadByClient(bytes, options);
  if (!examples.ok()) {
    return fuzz::RequireError(examples.status(), {StatusCode::kInvalidArgument},
                              "^standard input(: no examples in it$|, line \\d+: .)");
  }
  Require(IsUtf8(bytes, nullptr), "an error where not all is UTF-8");
  Require(!examples->empty(), "an example");
  for (const v1::Example& example : *examples) Require(!example.text().empty(), "a text in each example");
  CheckWritten(*examples);
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
