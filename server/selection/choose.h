// From the curves of all metrics to one layer: the evidence weighed, and the reason in words.
#ifndef MIDLAYER_SERVER_SELECTION_CHOOSE_H_
#define MIDLAYER_SERVER_SELECTION_CHOOSE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/selection/criterion.h"
#include "server/selection/curve.h"

namespace midlayer {

// What is known of the model.
struct ModelTraits {
  int layers = 0;     // L, of the whole model
  int max_layer = 0;  // the deepest that was measured
  // Whether the model directory says that its pooled last layer was trained (sentence-transformers).
  bool pooled_last_layer_was_trained = false;
};

struct Choice {
  int layer = 0;
  std::string pooling;  // empty: the metric was of tokens
  const Metric* metric = nullptr;
  double value = 0;
  Evidence evidence = Evidence::kSpectral;
  Confidence confidence = Confidence::kLow;
  std::vector<int> ties;  // layers as good as the chosen one, itself included
  std::string reason;
  std::vector<std::string> notes;
};

// "auto" follows the strongest evidence that was measured: retrieval, scored pairs, labels (the linear probe), then
// self-retrieval, then the compression valley (below), then whatever there is. Of layers that tie the shallowest is
// taken, for it is the cheapest; layer 0 is not taken on self-retrieval alone, where the halves of a text are found by
// the words that they share. A model whose pooled last layer was trained keeps it, unless another layer clearly beats
// it on task evidence or self-retrieval; labels alone do not, where self-retrieval clearly speaks against the layer.
//
// "valley" asks whether prompt entropy falls to an inner minimum and recovers half of the fall: the mark of models that
// compress in the middle (Skean et al. 2025). A model of 8 blocks or more that does is cut at three quarters of its
// depth; any other where InfoNCE (raw) is largest, or where that was not measured at the last layer. docs/choosing.md
// shows what each criterion would have chosen on published curves.
//
// Named metrics and weighted ranks are followed as they are. `curves` are judged (see Judge). FAILED_PRECONDITION where
// the criterion needs what was not measured.
absl::StatusOr<Choice> Choose(const Criterion& criterion, absl::Span<const Curve> curves, const ModelTraits& model);

// The metric that "auto" decides by, of those of which `has` says that they were measured; null for none.
const Metric* AutoDecider(absl::FunctionRef<bool(std::string_view)> has);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_CHOOSE_H_
