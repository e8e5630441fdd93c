// Whose formulas the representation metrics follow, and the units of entropies. No torch.
#ifndef MIDLAYER_SERVER_SCORING_MODE_H_
#define MIDLAYER_SERVER_SCORING_MODE_H_

namespace midlayer {

// The reference modes do what the code behind "Layer by Layer" (Skean et al., ICML 2025) computed at that time:
// entropies clamp their kernel at 0 element by element (prompt and data-set entropy) and take a shortcut for alpha = 2
// (MatrixEntropy); the two differ in curvature.
enum class Mode {
  kDefinition,     // the published definitions
  kReference2024,  // September 2024
  kReference2025,  // when the paper was published
};

// What an entropy is divided by. N: rows (tokens of a text, or texts), D: dimensions. Natural logarithms.
enum class EntropyNormalization {
  kRaw,         // nothing
  kLogN,        // log N
  kLogD,        // log D
  kMaxEntropy,  // log min(N, D), the largest value that it can have
  kLogNLogD,    // log N * log D
};

struct EntropyOptions {
  double alpha = 1;  // order of the Renyi entropy, above 0
  EntropyNormalization normalization = EntropyNormalization::kMaxEntropy;
  Mode mode = Mode::kDefinition;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_MODE_H_
