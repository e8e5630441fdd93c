// Answers as the client gets them, from whatever server: what it takes is whole, and takes no more memory than came.
#include "client/cpp/answers.h"

#include "tests/fuzz/fuzz.h"

namespace midlayer::internal {
namespace {

using fuzz::Require;

void CheckRows(const Embeddings& embeddings, size_t rows) {
  Require(embeddings.size() == rows && embeddings.truncated.size() == rows && !embeddings.outputs.empty(),
          "whole rows");
  for (const OutputVectors& output : embeddings.outputs) {
    Require(output.rows == rows && output.values.size() == rows * output.dimensions, "as many numbers as told");
    if (rows > 0) Require(output.row(rows - 1).size() == output.dimensions, "a last row");
  }
}

void Check(std::string_view bytes) {
  v1::EmbedResponse answer;
  if (!answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto rows = static_cast<size_t>(answer.embeddings_size());
  fuzz::RequireError(ToEmbeddings(answer, rows + 1, 0).status(), {absl::StatusCode::kInternal}, "^the server sent ");
  const absl::StatusOr<Embeddings> embeddings = ToEmbeddings(answer, rows, 0);
  if (!embeddings.ok()) {
    return fuzz::RequireError(embeddings.status(), {absl::StatusCode::kInternal}, "^the server sent ");
  }
  CheckRows(*embeddings, rows);
  Embeddings whole;
  Require(Append(*embeddings, whole).ok() && Append(*embeddings, whole).ok(), "answers of one kind that join");
  CheckRows(whole, 2 * rows);
}

}  // namespace
}  // namespace midlayer::internal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::internal::Check(midlayer::fuzz::View(data, size));
  return 0;
}
