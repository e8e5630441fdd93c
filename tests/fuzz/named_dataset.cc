// Data sets of --datasets: what is read is written and read again the same.
#include "server/service/named_dataset.h"

#include "tests/fuzz/examples.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using absl::StatusCode;
using fuzz::Require;

v1::Example ToWire(const Example& example) {
  v1::Example wire;
  wire.set_text(example.text);
  wire.set_label(example.label);
  wire.set_paired_text(example.paired_text);
  if (example.score.has_value()) wire.set_score(*example.score);
  wire.set_id(example.id);
  wire.set_passage(example.passage);
  for (const std::string& id : example.relevant_ids) wire.add_relevant_ids(id);
  return wire;
}

absl::StatusOr<Dataset> Read(std::string_view bytes) {
  fuzz::Folder().Write("fuzz.jsonl", bytes);
  DatasetBuilder builder({.max_examples = 100, .max_bytes = 1 << 16, .max_text_bytes = 1000});
  MIDLAYER_RETURN_IF_ERROR(ReadNamedDataset(fuzz::Folder().path().string(), "fuzz", builder, [] { return false; }));
  return builder.Finish(std::numeric_limits<int64_t>::max(), 0);
}

void Check(std::string_view bytes) {
  const absl::StatusOr<Dataset> dataset = Read(bytes);
  if (!dataset.ok()) {
    return fuzz::RequireError(dataset.status(), {StatusCode::kInvalidArgument, StatusCode::kResourceExhausted},
                              "^(fuzz\\.jsonl, line \\d+: .*expected .+, found |examples.*: expected .+, found )");
  }
  std::string lines;
  for (const Example& example : dataset->examples) lines += fuzz::JsonLine(ToWire(example));
  const absl::StatusOr<Dataset> again = Read(lines);
  Require(again.ok() && again->digest == dataset->digest && again->received == dataset->received,
          "the same data set from what it was written as");
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
