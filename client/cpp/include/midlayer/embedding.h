// What Embed and EmbedStream take and give.
#ifndef MIDLAYER_EMBEDDING_H_
#define MIDLAYER_EMBEDDING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "midlayer/words.h"

namespace midlayer {

// One vector to make of every text: from which layers, and how.
struct Output {
  // One layer or several, 0 (embedding output) to the number of blocks L, or -1 (the last) to -(L + 1). None: the
  // promoted selection, and the last loaded layer where there is none.
  std::vector<int> layers = {};
  Pooling pooling = Pooling::kDefault;
  State state = State::kDefault;
  Fusion fusion = Fusion::kDefault;
  // One a layer, for Fusion::kWeightedSum only; used as they are.
  std::vector<float> weights = {};
  // Whether the vector is scaled to length 1, at the very end.
  bool normalize = true;
  // Keep only the first so many, then normalise. 0: all.
  uint32_t dimensions = 0;
  // Whether the model's own Dense modules follow the pooling. Default: for its last layer, as it was trained.
  std::optional<bool> dense = {};
};

// Options of Embed and EmbedStream.
struct EmbedOptions {
  // As Output::layers, one of them.
  std::optional<int> layer = {};
  // As in Output.
  Pooling pooling = Pooling::kDefault;
  State state = State::kDefault;
  bool normalize = true;
  uint32_t dimensions = 0;
  // 1 to 64 outputs of every text, in place of the five options above; all come from one pass.
  std::vector<Output> outputs = {};
  Truncate truncate = Truncate::kNone;
  // The model's prompt that is put before every text (GetModelResponse.prompts). Default: the model's own.
  std::optional<std::string> prompt_name = {};
  // The prompt itself; empty for none.
  std::optional<std::string> prompt = {};
  VectorFormat format = VectorFormat::kFloat32;
  Priority priority = Priority::kDefault;
  // FAILED_PRECONDITION unless this selection is the promoted one. Empty: any.
  std::string expected_selection_id = {};
  // FAILED_PRECONDITION unless the answer would carry this fingerprint. Empty: any.
  std::string expected_model_fingerprint = {};
};

// The vectors of one output, and what the output turned out to be.
struct OutputVectors {
  // float32, (rows, dimensions), one row after the other.
  std::vector<float> values;
  size_t rows = 0;
  size_t dimensions = 0;
  // The layers, none negative.
  std::vector<int> layers;
  Pooling pooling = Pooling::kDefault;
  State state = State::kDefault;
  Fusion fusion = Fusion::kDefault;
  // Whether the vectors have length 1.
  bool normalized = false;
  // Whether the model's Dense modules were applied.
  bool dense = false;
  LayerSource layer_source = LayerSource::kRequest;

  // The vector of the row-th text, 0 <= row < rows.
  std::span<const float> row(size_t row) const {
    return std::span<const float>(values).subspan(row * dimensions, dimensions);
  }
  // The layer; of several the deepest; -1 of a default-constructed object.
  int layer() const;
};

// Where the time went: of the slowest text.
struct Timing {
  absl::Duration tokenize;  // turning text into tokens
  absl::Duration queue;     // waiting for a batch
  absl::Duration forward;   // in the model, pooling included
};

// The vectors of some texts, in order, with all that is needed to know what they are.
struct Embeddings {
  // One for each output asked for, never none.
  std::vector<OutputVectors> outputs;
  // Tokens computed of each text, special tokens and prompt included.
  std::vector<uint32_t> tokens;
  // Whether tokens of it were cut.
  std::vector<bool> truncated;
  // The selection in force; empty where there is none.
  std::string selection_id;
  // SHA-256, hex, of everything that changes these vectors.
  std::string model_fingerprint;
  Timing timing;
  // The place of the first text in the input; above 0 for EmbedStream only.
  size_t first = 0;

  // The number of texts.
  size_t size() const { return tokens.size(); }
  // Of the first output: the only one, unless EmbedOptions::outputs asked for more.
  const OutputVectors& output() const { return outputs.front(); }
  const std::vector<float>& values() const { return output().values; }
  std::span<const float> row(size_t row) const { return output().row(row); }
  size_t dimensions() const { return output().dimensions; }
  int layer() const { return output().layer(); }
  Pooling pooling() const { return output().pooling; }
};

// Texts of a stream that got no vectors, because one message failed.
struct StreamError {
  // The place of the first of them in the input.
  size_t first = 0;
  // How many, from there on.
  size_t count = 0;
  // The place of the text that is at fault, where it is known.
  std::optional<size_t> text;
  // Why; the message names the same places.
  absl::Status status;
};

// Options of EmbedStream.
struct EmbedStreamOptions {
  EmbedOptions embed = {};
  // The most texts of a message, and of a result, 1 or more. A message also ends at 1 MiB.
  int batch_size = 32;
  // Called with the error of a message; the stream goes on. Default: the error ends the stream.
  std::function<void(const StreamError&)> on_error = {};
};

}  // namespace midlayer

#endif  // MIDLAYER_EMBEDDING_H_
