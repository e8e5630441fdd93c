// How well a view of a text is told from the views of other texts.
#ifndef MIDLAYER_SERVER_SCORING_INFONCE_H_
#define MIDLAYER_SERVER_SCORING_INFONCE_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "server/base/cancelled.h"

namespace midlayer {

enum class InfoNceForm {
  kNtXent,        // 2N anchors against the 2N - 1 others (Chen et al. 2020, "SimCLR"); the reference of 2024
  kOneDirection,  // N anchors of the first view against N of the second (van den Oord et al. 2018); that of 2025
};

struct InfoNceOptions {
  InfoNceForm form = InfoNceForm::kNtXent;
  bool cosine = true;        // vectors are brought to length 1 first; the reference does not
  double temperature = 0.1;  // above 0
  Cancelled cancelled;       // asked before each tile
};

struct InfoNce {
  // Mean of `losses`, in nats: 0 where views are told apart with certainty, log of the number of candidates by chance.
  double loss = 0;
  // log of the number of candidates (2N - 1, or N) less the loss: a lower bound of the views' mutual information. The
  // reference reports it over log N.
  double mutual_information = 0;
  // Of each anchor: kNtXent the N of the first view, then the N of the second; kOneDirection those of the first.
  // -log(exp(z_i . z_i+ / t) / sum over candidates j of exp(z_i . z_j / t)).
  std::vector<double> losses;
};

// a, b: the two views of N >= 2 texts, row by row. O(N^2 D), in tiles of 256 anchors. With `cosine`, a zero vector is
// FAILED_PRECONDITION.
absl::StatusOr<InfoNce> MeasureInfoNce(const at::Tensor& a_ND, const at::Tensor& b_ND, const InfoNceOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_INFONCE_H_
