#include "client/cli/similarity.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cosine.h"
#include "client/cli/names.h"
#include "server/base/status.h"
#include "server/base/text_width.h"
#include "server/base/utf8.h"

namespace midlayer::cli {
namespace {

constexpr size_t kLineWidth = 100;
constexpr size_t kMinTextWidth = 16;
constexpr absl::string_view kGap = "  ";

absl::StatusOr<v1::EmbedRequest> MakeSimilarityRequest(const SimilarityOptions& options) {
  v1::EmbedRequest request = MakeRequest(options.text);
  for (size_t i = 0; i < options.texts.size(); ++i) {
    size_t offset = 0;
    if (!IsUtf8(options.texts[i], &offset)) {
      return absl::InvalidArgumentError(absl::StrCat("text ", i + 1, ": not UTF-8, at byte ", offset + 1));
    }
    request.add_texts(options.texts[i]);
  }
  for (const OutputOptions& output : options.outputs) {
    v1::OutputSpec& spec = *request.add_outputs();
    if (output.layer.has_value()) spec.add_layers(*output.layer);
    spec.set_pooling(output.pooling);
    spec.set_state(output.state);
    spec.set_dimensions(output.dimensions);
  }
  return request;
}

absl::Status CheckResponse(const SimilarityOptions& options, const v1::EmbedResponse& response) {
  bool fits = response.embeddings_size() == static_cast<int>(options.texts.size()) &&
              response.outputs_size() == static_cast<int>(options.outputs.size());
  for (const v1::Embedding& embedding : response.embeddings()) {
    fits &= embedding.vectors_size() == response.outputs_size();
  }
  return fits ? absl::OkStatus() : absl::InternalError("the server did not send a vector for each text and output");
}

std::span<const float> VectorOf(const v1::EmbedResponse& response, size_t text, int output) {
  const auto& values = response.embeddings(static_cast<int>(text)).vectors(output).values();
  return {values.data(), static_cast<size_t>(values.size())};
}

// Outputs [first, last) of the response, for all pairs.
std::string FormatBlock(const std::vector<std::string>& texts, const v1::EmbedResponse& response, int first, int last) {
  size_t columns_width = 0;
  std::vector<std::string> names;
  for (int output = first; output < last; ++output) {
    names.push_back(PadLeft(OutputName(response.outputs(output)), FormatCosine(-1).size()));
    columns_width += kGap.size() + Width(names.back());
  }
  const size_t room = kLineWidth - std::min(kLineWidth - 2 * kMinTextWidth, columns_width + kGap.size());
  size_t text_width = 4;
  for (const std::string& text : texts) text_width = std::max(text_width, std::min(Width(text), room / 2));

  std::string block = absl::StrCat(PadRight("text", text_width), kGap, PadRight("text", text_width));
  for (const std::string& name : names) absl::StrAppend(&block, kGap, name);
  block += '\n';
  for (size_t a = 0; a < texts.size(); ++a) {
    for (size_t b = a + 1; b < texts.size(); ++b) {
      absl::StrAppend(&block, PadRight(Cut(texts[a], text_width), text_width), kGap,
                      PadRight(Cut(texts[b], text_width), text_width));
      for (int output = first; output < last; ++output) {
        const double cosine = Cosine(VectorOf(response, a, output), VectorOf(response, b, output));
        absl::StrAppend(&block, kGap, PadLeft(FormatCosine(cosine), Width(names[output - first])));
      }
      block += '\n';
    }
  }
  return block;
}

std::string FormatSummary(const v1::EmbedResponse& response, double seconds) {
  int64_t tokens = 0;
  int truncated = 0;
  for (const v1::Embedding& embedding : response.embeddings()) {
    tokens += embedding.tokens();
    truncated += embedding.truncated() ? 1 : 0;
  }
  const v1::Timing& timing = response.timing();
  std::string summary =
      absl::StrFormat("%d texts, %d tokens; tokenize %.1f ms, queue %.1f ms, forward %.1f ms, whole call %.1f ms\n",
                      response.embeddings_size(), tokens, 1e3 * timing.tokenize_seconds(), 1e3 * timing.queue_seconds(),
                      1e3 * timing.forward_seconds(), 1e3 * seconds);
  if (truncated > 0)
    absl::StrAppend(&summary, truncated, " of the texts were cut to the length that the model takes\n");
  return summary;
}

absl::Status Run(const SimilarityOptions& options, const Console& console) {
  MIDLAYER_ASSIGN_OR_RETURN(const v1::EmbedRequest request, MakeSimilarityRequest(options));
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(options.connection));
  const auto start = std::chrono::steady_clock::now();
  MIDLAYER_ASSIGN_OR_RETURN(const v1::EmbedResponse response, connection->Embed(request));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  MIDLAYER_RETURN_IF_ERROR(CheckResponse(options, response));
  *console.out << FormatSimilarity(options.texts, response, seconds) << std::flush;
  return console.out->good() ? absl::OkStatus() : absl::UnknownError("cannot write the output");
}

}  // namespace

std::string FormatSimilarity(const std::vector<std::string>& texts, const v1::EmbedResponse& response, double seconds) {
  std::vector<std::string> printable;
  for (const std::string& text : texts) printable.push_back(Printable(text));
  std::string table;
  for (int first = 0; first < response.outputs_size();) {
    size_t width = 2 * (kMinTextWidth + kGap.size());
    int last = first;
    while (last < response.outputs_size()) {
      width += kGap.size() + Width(OutputName(response.outputs(last)));
      if (width > kLineWidth && last > first) break;
      ++last;
    }
    absl::StrAppend(&table, FormatBlock(printable, response, first, last), "\n");
    first = last;
  }
  return absl::StrCat(table, FormatSummary(response, seconds));
}

int RunSimilarity(const SimilarityOptions& options, const Console& console) {
  const absl::Status status = Run(options, console);
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

}  // namespace midlayer::cli
