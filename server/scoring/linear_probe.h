// Linear probe: how well logistic regression on frozen vectors tells the classes apart (Alain and Bengio 2017).
// Thread-safe functions.
//
// Minimises sum_i loss_i + ||W||² / (2 c), the intercepts free: binomial loss with one weight vector for two classes,
// softmax for more. The objective of scikit-learn's LogisticRegression with its defaults. Everything in float64, by
// L-BFGS from zero: no randomness.
//
// Dimensions: N examples, D of a vector, C classes, R rows of weights (1 for two classes, C for more).
#ifndef MIDLAYER_SERVER_SCORING_LINEAR_PROBE_H_
#define MIDLAYER_SERVER_SCORING_LINEAR_PROBE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/cancelled.h"

namespace midlayer {

struct ProbeOptions {
  double c = 1;              // inverse strength of the penalty, above 1e-300
  bool standardize = false;  // every feature less its mean, divided by its standard deviation, of the training set
  int max_iterations = 2000;
  Cancelled cancelled;  // asked before each iteration
};

// What was fitted, in terms of the standardised features where these were asked for.
struct LinearProbe {
  std::vector<int64_t> labels;  // of the classes, ascending
  at::Tensor weights_RD;        // float64, as all below
  at::Tensor intercepts_R;      // of softmax: with sum 0
  at::Tensor means_D;           // 0 unless standardised
  at::Tensor scales_D;          // 1 unless standardised, and for features that do not vary
  double objective = 0;         // at the optimum
  int iterations = 0;
  bool converged = false;
};

// x: (N, D), float32 or float64; labels: any numbers, one an example. InvalidArgument: vectors that CheckVectors
// refuses, labels of another number, fewer than two classes, c that is not finite or too small, max_iterations below 1.
absl::StatusOr<LinearProbe> FitLinearProbe(const at::Tensor& x_ND, absl::Span<const int64_t> labels,
                                           const ProbeOptions& options = {});

// Of the classes, in the order of probe.labels: (N, C) float64. InvalidArgument: vectors that CheckVectors refuses, or
// of another D than the probe's.
absl::StatusOr<at::Tensor> Probabilities(const LinearProbe& probe, const at::Tensor& x_ND);

// The most probable label of each example; the smallest of equals. InvalidArgument as Probabilities.
absl::StatusOr<std::vector<int64_t>> Predict(const LinearProbe& probe, const at::Tensor& x_ND);

struct CrossValidation {
  double accuracy = 0;          // the part of all examples that were told right
  std::vector<double> correct;  // of every example, 1 or 0, told by the probe that was not fitted on its fold
  bool converged = false;       // every probe
};

// fold_of: the fold of every example, from StratifiedFolds: take the same for all layers that are compared. A class
// that only one fold has is never told right. InvalidArgument as FitLinearProbe, and: fold_of of another number or
// below 0, one fold only, a fold without which fewer than two classes remain.
absl::StatusOr<CrossValidation> CrossValidate(const at::Tensor& x_ND, absl::Span<const int64_t> labels,
                                              absl::Span<const int> fold_of, const ProbeOptions& options = {});

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_LINEAR_PROBE_H_
