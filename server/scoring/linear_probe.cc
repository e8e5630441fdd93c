#include "server/scoring/linear_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/scoring/lbfgs.h"
#include "server/scoring/vectors.h"

namespace midlayer {
namespace {

// Means and scales of the features as in scikit-learn's StandardScaler: the population's standard deviation; 1 where it
// is no more than the rounding of the mean.
void Standardize(const at::Tensor& x_ND, LinearProbe* probe) {
  constexpr double kRounding = 1e-12;
  probe->means_D = at::mean(x_ND, 0);
  const at::Tensor deviations_D = at::sqrt(at::mean((x_ND - probe->means_D).square(), 0));
  probe->scales_D = at::where(deviations_D > kRounding * at::abs(probe->means_D), deviations_D, 1);
}

at::Tensor Standardized(const at::Tensor& x_ND, const LinearProbe& probe) {
  return (x_ND.to(at::kDouble) - probe.means_D) / probe.scales_D;
}

// Logarithms of the probabilities, (N, C), from the scores (N, R). Two classes are a softmax over 0 and the score.
at::Tensor LogProbabilities(const at::Tensor& scores_NR) {
  if (scores_NR.size(1) > 1) return at::log_softmax(scores_NR, 1);
  return at::log_softmax(at::cat({at::zeros_like(scores_NR), scores_NR}, 1), 1);
}

// The objective with its gradient, in variables in which it curves about alike in all directions: the features centred,
// which the free intercepts make up for, with a constant one last for the intercepts, and each divided by the root of a
// bound on its curvature. A few features of most transformers are larger than the others by orders of magnitude, and
// L-BFGS would take thousands of steps without.
class Objective {
 public:
  Objective(const at::Tensor& x_ND, const ClassIds& classes, double c)
      : means_D_(at::mean(x_ND, 0)), ids_N1_(ToTensor(classes.ids, x_ND).unsqueeze(1)) {
    const auto examples = x_ND.size(0), count = static_cast<int64_t>(classes.labels.size());
    const at::Tensor centred_NF = at::cat({x_ND - means_D_, at::ones({examples, 1}, x_ND.options())}, 1);
    at::Tensor penalty_F = at::full({centred_NF.size(1)}, 1 / c, x_ND.options());
    penalty_F[-1] = 0;
    // The second derivative of a loss by a score is 1/4 at most.
    scales_F_ = at::sqrt(at::sum(centred_NF.square(), 0) / 4 + penalty_F);
    features_NF_ = centred_NF / scales_F_;
    penalty_F_ = penalty_F / scales_F_.square();
    own_NC_ = at::zeros({examples, count}, x_ND.options()).scatter_(1, ids_N1_, 1.0);
    rows_ = count == 2 ? 1 : count;
  }

  Slope operator()(const at::Tensor& point) const {
    const at::Tensor weights_RF = point.view({rows_, -1});
    const at::Tensor log_NC = LogProbabilities(features_NF_.matmul(weights_RF.t()));
    const at::Tensor value = at::sum(penalty_F_ * weights_RF.square()) / 2 - at::sum(log_NC.gather(1, ids_N1_));
    // Of two classes only the second has a score.
    const at::Tensor error_NR = (log_NC.exp() - own_NC_).slice(1, own_NC_.size(1) == 2 ? 1 : 0);
    const at::Tensor gradient_RF = error_NR.t().matmul(features_NF_) + penalty_F_ * weights_RF;
    return {.value = value.item<double>(), .gradient = gradient_RF.reshape(-1)};
  }

  at::Tensor Start() const { return at::zeros({rows_ * features_NF_.size(1)}, features_NF_.options()); }

  // Weights and intercepts at `point`, for the features as they came.
  void Read(const at::Tensor& point, LinearProbe* probe) const {
    const at::Tensor weights_RF = point.view({rows_, -1}) / scales_F_;
    probe->weights_RD = weights_RF.slice(1, 0, -1);
    probe->intercepts_R = weights_RF.select(1, -1) - probe->weights_RD.matmul(means_D_);
  }

 private:
  const at::Tensor means_D_;
  const at::Tensor ids_N1_;
  at::Tensor scales_F_;
  at::Tensor features_NF_;
  at::Tensor penalty_F_;
  at::Tensor own_NC_;  // 1 where the example is of the class
  int64_t rows_ = 0;
};

absl::Status CheckOptions(const ProbeOptions& options) {
  if (!(options.c > 1e-300) || !std::isfinite(options.c)) {
    return absl::InvalidArgumentError(absl::StrCat("c: expected a finite number above 1e-300, found ", options.c));
  }
  if (options.max_iterations >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("max_iterations: expected 1 or more, found ", options.max_iterations));
}

absl::Status CheckFolds(absl::Span<const int64_t> labels, absl::Span<const int> fold_of) {
  if (fold_of.size() != labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("fold_of: expected one for each of ", labels.size(), " examples, found ", fold_of.size()));
  }
  const std::set<int> folds(fold_of.begin(), fold_of.end());
  if (folds.size() >= 2 && *folds.begin() >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("fold_of: expected two folds or more, none below 0, found ",
                                                 folds.size(), " from ", *folds.begin(), " on"));
}

std::vector<int64_t> Picked(absl::Span<const int64_t> values, absl::Span<const int64_t> indices) {
  std::vector<int64_t> picked;
  for (const int64_t i : indices) picked.push_back(values[static_cast<size_t>(i)]);
  return picked;
}

}  // namespace

absl::StatusOr<LinearProbe> FitLinearProbe(const at::Tensor& x_ND, absl::Span<const int64_t> labels,
                                           const ProbeOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(CheckLabelled(x_ND, labels));
  MIDLAYER_RETURN_IF_ERROR(CheckOptions(options));
  const ClassIds classes = IndexLabels(labels);
  if (classes.labels.size() < 2) return absl::InvalidArgumentError("labels: expected two classes or more, found 1");
  at::Tensor features = x_ND.to(at::kDouble);
  LinearProbe probe{.labels = classes.labels,
                    .means_D = at::zeros({x_ND.size(1)}, features.options()),
                    .scales_D = at::ones({x_ND.size(1)}, features.options())};
  if (options.standardize) Standardize(features, &probe);
  features = Standardized(features, probe);
  const Objective objective(features, classes, options.c);
  MIDLAYER_ASSIGN_OR_RETURN(const LbfgsResult result,
                            Minimize(objective, objective.Start(),
                                     {.max_iterations = options.max_iterations, .cancelled = options.cancelled}));
  objective.Read(result.point, &probe);
  probe.objective = result.value;
  probe.iterations = result.iterations;
  probe.converged = result.converged;
  return probe;
}

absl::StatusOr<at::Tensor> Probabilities(const LinearProbe& probe, const at::Tensor& x_ND) {
  MIDLAYER_RETURN_IF_ERROR(CheckVectors(x_ND, "vectors"));
  if (x_ND.size(1) != probe.means_D.size(0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("vectors: expected ", probe.means_D.size(0), " dimensions, found ", x_ND.size(1)));
  }
  const at::Tensor scores_NR = Standardized(x_ND, probe).matmul(probe.weights_RD.t()) + probe.intercepts_R;
  return LogProbabilities(scores_NR).exp();
}

absl::StatusOr<std::vector<int64_t>> Predict(const LinearProbe& probe, const at::Tensor& x_ND) {
  MIDLAYER_ASSIGN_OR_RETURN(const at::Tensor probabilities_NC, Probabilities(probe, x_ND));
  const at::Tensor ids_N = at::argmax(probabilities_NC, 1).to(at::kCPU).contiguous();
  return Picked(probe.labels, absl::MakeConstSpan(ids_N.const_data_ptr<int64_t>(), static_cast<size_t>(ids_N.numel())));
}

absl::StatusOr<CrossValidation> CrossValidate(const at::Tensor& x_ND, absl::Span<const int64_t> labels,
                                              absl::Span<const int> fold_of, const ProbeOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(CheckLabelled(x_ND, labels));
  MIDLAYER_RETURN_IF_ERROR(CheckFolds(labels, fold_of));
  CrossValidation result{.correct = std::vector<double>(labels.size()), .converged = true};
  for (const int fold : std::set<int>(fold_of.begin(), fold_of.end())) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < fold_of.size(); ++i)
      (fold_of[i] == fold ? inside : outside).push_back(static_cast<int64_t>(i));
    const auto probe = FitLinearProbe(x_ND.index_select(0, ToTensor(outside, x_ND)), Picked(labels, outside), options);
    if (!probe.ok()) return Annotate(probe.status(), absl::StrCat("without fold ", fold));
    MIDLAYER_ASSIGN_OR_RETURN(const std::vector<int64_t> predicted,
                              Predict(*probe, x_ND.index_select(0, ToTensor(inside, x_ND))));
    for (size_t i = 0; i < inside.size(); ++i) {
      const auto example = static_cast<size_t>(inside[i]);
      result.correct[example] = predicted[i] == labels[example] ? 1 : 0;
    }
    result.converged = result.converged && probe->converged;
  }
  result.accuracy = Mean(result.correct);
  return result;
}

}  // namespace midlayer
