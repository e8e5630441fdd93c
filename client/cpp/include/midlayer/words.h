// The words of the wire as enumerations; their numbers are those of midlayer/v1/types.proto.
#ifndef MIDLAYER_WORDS_H_
#define MIDLAYER_WORDS_H_

#include <string>

#include "midlayer/v1/types.pb.h"

namespace midlayer {

// How the states of a text's tokens become one vector. Special tokens ([CLS], </s>, ...) count as tokens.
enum class Pooling {
  kDefault,       // with a selection's layer the pooling that it was measured with, else the model's own
  kCls,           // the first token
  kMean,          // the mean over the tokens
  kLast,          // the last token
  kMax,           // the largest value of each dimension over the tokens
  kWeightedMean,  // the mean weighted by position
  kTrainedLast,   // a trained head over the tokens of one layer
  kTrainedMulti,  // a trained head over the layers 1 to `layer`
};

// Which form of a layer's output is pooled.
enum class State {
  kDefault,  // with a selection's layer the state that it was measured with, else kRaw
  kRaw,      // hidden_states[layer] of transformers
  kNormed,   // the model's final norm applied to middle layers too
};

// How the vectors of several layers become one.
enum class Fusion {
  kDefault,      // kConcat where there are several layers; in answers: there is one layer
  kConcat,       // one after the other, in the order named
  kMean,         // their mean
  kWeightedSum,  // their sum, weighted by Output::weights
};

// What to do with a text of more tokens than the model takes.
enum class Truncate {
  kNone = 1,  // refuse it
  kLeft,      // cut tokens from its beginning
  kRight,     // cut tokens from its end
};

// How numbers travel; they are float32 on arrival.
enum class VectorFormat {
  kFloat32 = 1,
  kFloat16,
  kBfloat16,
  kInt8,    // 4 times smaller than kFloat32, off by up to 1/254 of the largest value
  kBinary,  // the signs alone: 1 above 0, else -1
};

// Which texts go first on a busy server.
enum class Priority {
  kDefault,      // Embed: kInteractive up to 8 texts, else kBulk; EmbedStream: kBulk
  kInteractive,  // a user waits
  kBulk,         // what interactive texts leave, and always a share
};

// Where the layer of an output came from.
enum class LayerSource {
  kRequest = 1,  // the call named it
  kSelection,    // the promoted selection
  kDefault,      // no selection is promoted: the last layer that is loaded
};

// Whether a service serves.
enum class ServingStatus { kUnknown, kServing, kNotServing, kServiceUnknown };

// Whose formulas a scoring run computes.
enum class MetricMode {
  kDefinition = 1,  // the published definitions
  kReference2024,   // the code behind "Layer by Layer" as of September 2024
  kReference2025,   // the same code as published (ICML 2025)
};

// What entropies are divided by. N: rows (tokens of a prompt, or texts), D: dimensions.
enum class EntropyNormalization {
  kRaw = 1,       // nothing
  kLogN,          // log N
  kLogD,          // log D
  kMaxEntropy,    // log min(N, D)
  kLogNTimesLogD  // log N * log D
};

// The words that the command line, the server's messages and the Python package use: "weighted_mean", "raw", "high".
// "default" for 0; "value 9" for one that is newer than this library.
std::string WordOf(Pooling pooling);
std::string WordOf(State state);
std::string WordOf(Fusion fusion);
std::string WordOf(LayerSource source);
std::string WordOf(ServingStatus status);
std::string WordOf(v1::Pooling pooling);
std::string WordOf(v1::State state);
std::string WordOf(v1::Evidence evidence);
std::string WordOf(v1::Confidence confidence);

}  // namespace midlayer

#endif  // MIDLAYER_WORDS_H_
