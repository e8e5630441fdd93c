#include "client/cpp/answers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

uint32_t TwoBytes(const std::string& data, size_t place) {  // little-endian
  return static_cast<unsigned char>(data[2 * place]) |
         static_cast<uint32_t>(static_cast<unsigned char>(data[2 * place + 1])) << 8;
}

// IEEE binary16.
float HalfToFloat(uint32_t half) {
  const int exponent = static_cast<int>(half >> 10 & 0x1F);
  const auto fraction = static_cast<float>(half & 0x3FF);
  float magnitude = std::ldexp(exponent == 0 ? fraction : fraction + 1024, std::max(exponent, 1) - 25);
  if (exponent == 0x1F) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

size_t BytesOf(v1::VectorFormat format, size_t dimensions) {
  if (format == v1::VECTOR_FORMAT_BINARY) return (dimensions + 7) / 8;
  return format == v1::VECTOR_FORMAT_INT8 ? dimensions : 2 * dimensions;
}

float Value(const v1::Vector& vector, v1::VectorFormat format, size_t place) {
  const std::string& data = vector.data();
  switch (format) {
    case v1::VECTOR_FORMAT_FLOAT16:
      return HalfToFloat(TwoBytes(data, place));
    case v1::VECTOR_FORMAT_BFLOAT16:
      return std::bit_cast<float>(TwoBytes(data, place) << 16);
    case v1::VECTOR_FORMAT_INT8:
      return static_cast<float>(static_cast<signed char>(data[place])) * vector.scale();
    case v1::VECTOR_FORMAT_BINARY:
      return (static_cast<unsigned char>(data[place / 8]) >> (7 - place % 8) & 1) != 0 ? 1.0F : -1.0F;
    default:
      return vector.values(static_cast<int>(place));
  }
}

absl::Status CheckSize(const v1::Vector& vector, v1::VectorFormat format, size_t dimensions) {
  const bool is_float32 = format == v1::VECTOR_FORMAT_FLOAT32;
  const size_t found = is_float32 ? static_cast<size_t>(vector.values_size()) : vector.data().size();
  const size_t expected = is_float32 ? dimensions : BytesOf(format, dimensions);
  if (found == expected) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the server sent a vector of ", found, is_float32 ? " numbers" : " bytes", ", not of ", expected));
}

// Appends the numbers of a vector.
void Decode(const v1::Vector& vector, v1::VectorFormat format, size_t dimensions, std::vector<float>& values) {
  if (format == v1::VECTOR_FORMAT_FLOAT32) {
    values.insert(values.end(), vector.values().begin(), vector.values().end());
  } else {
    for (size_t place = 0; place < dimensions; ++place) values.push_back(Value(vector, format, place));
  }
}

OutputVectors Describe(const v1::OutputInfo& info) {
  OutputVectors output;
  output.dimensions = info.dimensions();
  output.layers.assign(info.layers().begin(), info.layers().end());
  output.pooling = static_cast<Pooling>(info.pooling());
  output.state = static_cast<State>(info.state());
  output.fusion = static_cast<Fusion>(info.fusion());
  output.normalized = info.normalized();
  output.dense = info.dense();
  output.layer_source = static_cast<LayerSource>(info.layer_source());
  return output;
}

absl::Status CheckShape(const v1::EmbedResponse& answer, size_t texts) {
  const auto found = static_cast<size_t>(answer.embeddings_size());
  if (found != texts) {
    return absl::InternalError(absl::StrCat("the server sent ", found, " embeddings for ", texts, " texts"));
  }
  if (answer.outputs_size() == 0) return absl::InternalError("the server sent no outputs");
  for (const v1::Embedding& embedding : answer.embeddings()) {
    if (embedding.vectors_size() != answer.outputs_size()) {
      return absl::InternalError(absl::StrCat("the server sent ", embedding.vectors_size(), " vectors for ",
                                              answer.outputs_size(), " outputs"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputVectors> ReadOutput(const v1::EmbedResponse& answer, int place, v1::VectorFormat format) {
  OutputVectors output = Describe(answer.outputs(place));
  output.rows = static_cast<size_t>(answer.embeddings_size());
  // All sizes first: what the dimensions ask for is reserved only where as much came.
  for (const v1::Embedding& embedding : answer.embeddings()) {
    MIDLAYER_RETURN_IF_ERROR(CheckSize(embedding.vectors(place), format, output.dimensions));
  }
  output.values.reserve(output.rows * output.dimensions);
  for (const v1::Embedding& embedding : answer.embeddings()) {
    Decode(embedding.vectors(place), format, output.dimensions, output.values);
  }
  return output;
}

// All but the vectors themselves.
bool IsSameKind(const OutputVectors& a, const OutputVectors& b) {
  return std::tie(a.layers, a.pooling, a.state, a.dimensions) == std::tie(b.layers, b.pooling, b.state, b.dimensions);
}

bool IsSameKind(const Embeddings& a, const Embeddings& b) {
  return a.selection_id == b.selection_id && a.model_fingerprint == b.model_fingerprint &&
         std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(),
                    [](const OutputVectors& one, const OutputVectors& other) { return IsSameKind(one, other); });
}

}  // namespace

absl::StatusOr<Embeddings> ToEmbeddings(const v1::EmbedResponse& answer, size_t texts, size_t first) {
  MIDLAYER_RETURN_IF_ERROR(CheckShape(answer, texts));
  // A server that leaves the format out sends float32.
  const v1::VectorFormat format =
      answer.format() == v1::VECTOR_FORMAT_UNSPECIFIED ? v1::VECTOR_FORMAT_FLOAT32 : answer.format();
  if (!v1::VectorFormat_IsValid(format)) {
    return absl::InternalError(absl::StrCat("the server sent vectors in a format that is not known here: ", format));
  }
  Embeddings result;
  for (int place = 0; place < answer.outputs_size(); ++place) {
    MIDLAYER_ASSIGN_OR_RETURN(OutputVectors output, ReadOutput(answer, place, format));
    result.outputs.push_back(std::move(output));
  }
  for (const v1::Embedding& embedding : answer.embeddings()) {
    result.tokens.push_back(embedding.tokens());
    result.truncated.push_back(embedding.truncated());
  }
  result.selection_id = answer.selection_id();
  result.model_fingerprint = answer.model_fingerprint();
  result.timing = {absl::Seconds(answer.timing().tokenize_seconds()), absl::Seconds(answer.timing().queue_seconds()),
                   absl::Seconds(answer.timing().forward_seconds())};
  result.first = first;
  return result;
}

absl::Status Append(Embeddings next, Embeddings& whole) {
  if (whole.outputs.empty()) {
    whole = std::move(next);
    return absl::OkStatus();
  }
  if (!IsSameKind(next, whole)) {
    return absl::AbortedError("the selection or the model changed between two messages of this call: call again");
  }
  for (size_t place = 0; place < whole.outputs.size(); ++place) {
    OutputVectors& output = whole.outputs[place];
    const OutputVectors& more = next.outputs[place];
    output.values.insert(output.values.end(), more.values.begin(), more.values.end());
    output.rows += more.rows;
  }
  whole.tokens.insert(whole.tokens.end(), next.tokens.begin(), next.tokens.end());
  whole.truncated.insert(whole.truncated.end(), next.truncated.begin(), next.truncated.end());
  whole.timing.tokenize = std::max(whole.timing.tokenize, next.timing.tokenize);
  whole.timing.queue = std::max(whole.timing.queue, next.timing.queue);
  whole.timing.forward = std::max(whole.timing.forward, next.timing.forward);
  return absl::OkStatus();
}

}  // namespace midlayer::internal

namespace midlayer {

int OutputVectors::layer() const { return layers.empty() ? -1 : *std::max_element(layers.begin(), layers.end()); }

}  // namespace midlayer
