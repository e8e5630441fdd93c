#include "server/engine/set_metrics.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "server/scoring/dataset_entropy.h"
#include "server/scoring/dime.h"
#include "server/scoring/entropy.h"
#include "server/scoring/folds.h"
#include "server/scoring/infonce.h"
#include "server/scoring/jackknife.h"
#include "server/scoring/knn.h"
#include "server/scoring/linear_probe.h"
#include "server/scoring/rank_metrics.h"
#include "server/scoring/retrieval.h"
#include "server/scoring/silhouette.h"
#include "server/scoring/similarity.h"
#include "server/statistics/bootstrap.h"
#include "server/statistics/correlation.h"

namespace midlayer {

namespace {

constexpr int kFolds = 5;
constexpr int kNeighbours = 10;
constexpr int64_t kJackknifeGroups = 10;
// Streams of random numbers below the run's seed; those of the plan are others.
enum Stream : uint64_t { kFoldStream = 101, kPermutationStream = 102, kBootstrapStream = 103 };

class Measurer {
 public:
  Measurer(const ScoreTask& task, const ScorePlan& plan, const LayerScorer& scorer, const Cancelled& cancelled)
      : task_(task), plan_(plan), scorer_(scorer), cancelled_(cancelled) {
    for (const Metric* metric : plan.metrics) {
      wanted_[metric->name] = metric;
      groups_.insert(metric->group);
    }
  }

  absl::StatusOr<MeasuredCurves> Run(const std::function<void(int)>& progress) && {
    for (int layer = 0; layer < scorer_.layers(); ++layer) {
      progress(layer);
      Tokens(layer);
      for (int pooling = 0; pooling < static_cast<int>(task_.poolings.size()); ++pooling) {
        layer_ = layer;
        pooling_ = pooling;
        using Step = void (Measurer::*)();
        const std::pair<MetricGroup, Step> steps[] = {{MetricGroup::kTexts, &Measurer::Texts},
                                                      {MetricGroup::kViews, &Measurer::Views},
                                                      {MetricGroup::kSelfRetrieval, &Measurer::Halves},
                                                      {MetricGroup::kMaskedSelfRetrieval, &Measurer::MaskedHalves},
                                                      {MetricGroup::kLabels, &Measurer::Labels},
                                                      {MetricGroup::kScores, &Measurer::Pairs},
                                                      {MetricGroup::kRetrieval, &Measurer::Retrieval}};
        for (const auto& [group, step] : steps) {
          if (!groups_.contains(group)) continue;
          (this->*step)();
          MIDLAYER_RETURN_IF_ERROR(CheckCancelled(cancelled_));
        }
      }
    }
    return MeasuredCurves{.curves = std::move(*this).Curves(), .notes = Notes()};
  }

 private:
  bool Wants(std::string_view name) const { return wanted_.contains(name); }

  // The curve of a metric under the current pooling, or of tokens.
  Curve& CurveOf(std::string_view name, bool of_tokens = false) {
    const std::string pooling = of_tokens ? "" : std::string(PoolingName(task_.poolings[pooling_]));
    Curve& curve = curves_[{wanted_.at(name), of_tokens ? -1 : pooling_}];
    if (curve.metric == nullptr) {
      curve.metric = wanted_.at(name);
      curve.pooling = pooling;
      curve.layers.resize(static_cast<size_t>(scorer_.layers()));
    }
    return curve;
  }

  void NotDefined(std::string_view name, int layer, const absl::Status& why) {
    undefined_[{std::string(name), std::string(why.message())}].push_back(layer);
  }

  // A metric of the whole set.
  void Keep(std::string_view name, const absl::StatusOr<double>& value, size_t examples,
            std::optional<double> standard_error = std::nullopt) {
    if (!Wants(name)) return;
    Curve& curve = CurveOf(name);
    if (!value.ok()) return NotDefined(name, layer_, value.status());
    curve.examples = examples;
    curve.layers[layer_].value = *value;
    curve.layers[layer_].standard_error = standard_error;
  }

  // A metric that is the mean over examples.
  void KeepExamples(std::string_view name, const std::vector<double>& values, const std::vector<uint64_t>& indices) {
    if (!Wants(name)) return;
    KeepExamples(CurveOf(name), layer_, std::vector<float>(values.begin(), values.end()), indices);
  }
  void KeepExamples(Curve& curve, int layer, std::vector<float> examples, const std::vector<uint64_t>& indices) {
    std::vector<double> defined;
    std::copy_if(examples.begin(), examples.end(), std::back_inserter(defined), [](float v) { return !std::isnan(v); });
    const Estimate estimate = MeanWithStandardError(defined);
    LayerScore& score = curve.layers[layer];
    score.value = estimate.value;
    if (!std::isnan(estimate.standard_error)) score.standard_error = estimate.standard_error;
    score.examples = std::move(examples);
    curve.examples = defined.size();
    curve.example_indices = indices;
  }

  at::Tensor Rows(const std::vector<int64_t>& rows, int slot) const {
    return at::index_select(scorer_.vectors(layer_, slot).rows_RD, 0, at::tensor(at::IntArrayRef(rows)));
  }

  void Tokens(int layer) {
    const std::pair<std::string_view, LayerScorer::TokenMetric> metrics[] = {
        {"prompt_entropy", LayerScorer::kPromptEntropy},
        {"curvature", LayerScorer::kCurvature},
        {"intrinsic_dimension", LayerScorer::kIntrinsicDimension}};
    for (const auto& [name, metric] : metrics) {
      if (Wants(name)) {
        KeepExamples(CurveOf(name, /*of_tokens=*/true), layer, scorer_.tokens(metric, layer), plan_.token_indices);
      }
    }
  }

  // Every whole-set metric, in the order of kTextMetrics.
  std::vector<absl::StatusOr<double>> TextMetrics(const SetGrams& grams) const {
    const RankMetrics ranks = MeasureRank(grams);
    DatasetEntropy entropy;
    if (task_.entropy.mode == Mode::kDefinition) {  // the spectra are at hand
      entropy = {.as_is = EntropyOf(ranks.spectrum, grams), .centered = EntropyOf(ranks.centered_spectrum, grams)};
    } else {
      entropy = MeasureDatasetEntropy(grams, task_.entropy);
    }
    return {entropy.as_is, entropy.centered,          ranks.effective_rank, ranks.roy_vetterli, ranks.rank_me,
            ranks.ne_sum,  ranks.participation_ratio, ranks.self_cluster,   ranks.anisotropy};
  }

  absl::StatusOr<double> EntropyOf(const absl::StatusOr<std::vector<double>>& spectrum, const SetGrams& grams) const {
    if (!spectrum.ok()) return spectrum.status();
    return Normalized(RenyiEntropy(*spectrum, task_.entropy.alpha), grams.vectors, grams.dimensions);
  }

  void Texts() {
    static constexpr std::string_view kTextMetrics[] = {"dataset_entropy",
                                                        "dataset_entropy_centered",
                                                        "effective_rank",
                                                        "effective_rank_sigma",
                                                        "rankme",
                                                        "nesum",
                                                        "participation_ratio",
                                                        "self_cluster",
                                                        "anisotropy"};
    if (plan_.texts.empty()) return;
    const at::Tensor x_ND = Rows(plan_.texts, scorer_.paper_slot(pooling_));
    const auto vectors = GroupedVectors::Of(x_ND, std::min<int64_t>(kJackknifeGroups, x_ND.size(0)));
    if (!vectors.ok()) {
      for (const std::string_view name : kTextMetrics) Keep(name, vectors.status(), plan_.texts.size());
      return;
    }
    const std::vector<absl::StatusOr<double>> values = TextMetrics(vectors->All());
    const auto errors = JackknifeStandardErrors(
        vectors->groups(), [&](int64_t group) { return TextMetrics(vectors->Without(group)); }, cancelled_);
    for (size_t i = 0; i < values.size(); ++i) {
      std::optional<double> error;
      if (errors.ok() && (*errors)[i].ok()) error = *(*errors)[i];
      Keep(kTextMetrics[i], values[i], plan_.texts.size(), error);
    }
  }

  void Views() {
    if (plan_.first_views.empty()) return;
    const int slot = scorer_.paper_slot(pooling_);
    const at::Tensor a_ND = Rows(plan_.first_views, slot), b_ND = Rows(plan_.second_views, slot);
    const auto form = task_.entropy.mode == Mode::kReference2025 ? InfoNceForm::kOneDirection : InfoNceForm::kNtXent;
    KeepInfoNce("infonce", MeasureInfoNce(a_ND, b_ND, {.form = form, .cosine = false, .cancelled = cancelled_}),
                plan_.views_of);
    KeepInfoNce("infonce_cosine", MeasureInfoNce(a_ND, b_ND, {.form = form, .cosine = true, .cancelled = cancelled_}),
                plan_.views_of);
    if (Wants("lidar")) {
      const LidarAccumulator& lidar = scorer_.vectors(layer_, slot).lidar;
      Keep("lidar", Normalized(lidar.Entropy(task_.entropy.alpha, task_.entropy.mode), lidar.texts(), a_ND.size(1)),
           static_cast<size_t>(lidar.texts()));
    }
    if (Wants("dime")) Dime(a_ND, b_ND);
  }

  absl::StatusOr<double> Normalized(const absl::StatusOr<double>& entropy, int64_t n, int64_t d) const {
    return entropy.ok() ? Normalize(*entropy, task_.entropy.normalization, n, d) : entropy;
  }

  // The value of a text is the mean over its anchors.
  void KeepInfoNce(std::string_view name, const absl::StatusOr<InfoNce>& infonce,
                   const std::vector<uint64_t>& indices) {
    if (!Wants(name)) return;
    if (!infonce.ok()) return NotDefined((CurveOf(name), name), layer_, infonce.status());
    std::vector<double> values(indices.size());
    const double anchors = static_cast<double>(infonce->losses.size()) / static_cast<double>(values.size());
    for (size_t i = 0; i < infonce->losses.size(); ++i) values[i % values.size()] += infonce->losses[i] / anchors;
    KeepExamples(name, values, indices);
  }

  void Dime(const at::Tensor& a_ND, const at::Tensor& b_ND) {
    const int64_t n = a_ND.size(0), d = a_ND.size(1);
    const bool of_dimensions = task_.entropy.mode != Mode::kDefinition && n > d;
    const std::vector<std::vector<int64_t>>& permutations = Permutations(of_dimensions ? d : n);
    const absl::StatusOr<midlayer::Dime> dime = MeasureDime(
        a_ND, b_ND, permutations, {.alpha = task_.entropy.alpha, .mode = task_.entropy.mode, .cancelled = cancelled_});
    if (!dime.ok()) return Keep("dime", dime.status(), static_cast<size_t>(n));
    const absl::StatusOr<double> unit = Normalized(1.0, n, d);
    if (!unit.ok()) return Keep("dime", unit.status(), static_cast<size_t>(n));
    std::optional<double> error = dime->standard_error;
    if (error.has_value()) *error *= *unit;
    Keep("dime", dime->value * *unit, static_cast<size_t>(n), error);
  }

  // The same for all layers.
  const std::vector<std::vector<int64_t>>& Permutations(int64_t n) {
    if (permutations_.empty()) {
      Random random(Random::SubSeed(task_.seed, kPermutationStream));
      for (int i = 0; i < task_.permutations; ++i) {
        std::vector<int64_t> permutation(static_cast<size_t>(n));
        std::iota(permutation.begin(), permutation.end(), 0);
        random.Shuffle(absl::MakeSpan(permutation));
        permutations_.push_back(std::move(permutation));
      }
    }
    return permutations_;
  }

  void Halves() {
    if (plan_.first_halves.size() < 2) return;
    const at::Tensor first_ND = Rows(plan_.first_halves, pooling_), second_ND = Rows(plan_.second_halves, pooling_);
    const auto scores = ScoreSelfRetrieval(first_ND, second_ND, cancelled_);
    if (!scores.ok()) return NotDefined("self_retrieval", layer_, scores.status());
    KeepExamples("self_retrieval_mrr", scores->reciprocal_rank, plan_.half_indices);
    KeepExamples("self_retrieval_recall_at_1", scores->hit_at_1, plan_.half_indices);
    if (Wants("self_retrieval_infonce")) {
      KeepInfoNce("self_retrieval_infonce", MeasureInfoNce(first_ND, second_ND, {.cancelled = cancelled_}),
                  plan_.half_indices);
    }
  }

  void MaskedHalves() {
    if (plan_.masked_first_halves.size() < 2) return;
    const auto scores = ScoreSelfRetrieval(Rows(plan_.masked_first_halves, pooling_),
                                           Rows(plan_.masked_second_halves, pooling_), cancelled_);
    if (!scores.ok()) return NotDefined("masked self_retrieval", layer_, scores.status());
    KeepExamples("self_retrieval_masked_mrr", scores->reciprocal_rank, plan_.masked_indices);
    KeepExamples("self_retrieval_masked_recall_at_1", scores->hit_at_1, plan_.masked_indices);
  }

  void Labels() {
    if (plan_.labelled.empty()) return;
    const at::Tensor x_ND = Rows(plan_.labelled, pooling_);
    if (Wants("linear_probe_accuracy")) Probe(x_ND);
    if (Wants("knn_accuracy")) {
      const int k = std::min<int>(kNeighbours, static_cast<int>(plan_.labels.size()) - 1);
      const auto knn = KnnAccuracy(x_ND, plan_.labels, k, cancelled_);
      if (knn.ok()) KeepExamples("knn_accuracy", knn->correct, plan_.example_indices);
      if (!knn.ok()) Keep("knn_accuracy", knn.status(), 0);
    }
    if (Wants("silhouette_cosine")) KeepSilhouette("silhouette_cosine", CosineSamples(x_ND));
    if (Wants("silhouette_euclidean")) {
      const auto scores = Silhouette(x_ND, plan_.labels, Distance::kEuclidean, cancelled_);
      KeepSilhouette("silhouette_euclidean",
                     scores.ok() ? absl::StatusOr<std::vector<double>>(scores->samples) : scores.status());
    }
  }

  // By the sums of the classes: O(N C D) instead of O(N^2 D).
  absl::StatusOr<std::vector<double>> CosineSamples(const at::Tensor& x_ND) const {
    const int64_t classes = *std::max_element(plan_.labels.begin(), plan_.labels.end()) + 1;
    CosineSilhouette silhouette(classes, x_ND.size(1));
    MIDLAYER_RETURN_IF_ERROR(silhouette.Add(x_ND, plan_.labels));
    return silhouette.Samples(x_ND, plan_.labels);
  }

  void KeepSilhouette(std::string_view name, const absl::StatusOr<std::vector<double>>& samples) {
    if (!samples.ok()) return Keep(name, samples.status(), 0);
    KeepExamples(name, *samples, plan_.example_indices);
  }

  void Probe(const at::Tensor& x_ND) {
    const int folds = std::min<int>(kFolds, static_cast<int>(plan_.labels.size()));
    const auto fold_of = StratifiedFolds(plan_.labels, folds, Random::SubSeed(task_.seed, kFoldStream));
    if (!fold_of.ok()) return Keep("linear_probe_accuracy", fold_of.status(), 0);
    const auto probe = CrossValidate(x_ND, plan_.labels, *fold_of, {.standardize = true, .cancelled = cancelled_});
    if (!probe.ok()) return Keep("linear_probe_accuracy", probe.status(), 0);
    KeepExamples("linear_probe_accuracy", probe->correct, plan_.example_indices);
    if (!probe->converged)
      NotDefined("linear_probe_accuracy (it is kept)", layer_, absl::InternalError("a probe did not converge"));
  }

  void Pairs() {
    if (plan_.pair_first.empty()) return;
    const auto cosines = PairCosines(Rows(plan_.pair_first, pooling_), Rows(plan_.pair_second, pooling_));
    if (!cosines.ok()) return Keep("pair_spearman", cosines.status(), 0);
    const auto correlation = [&](auto function, absl::Span<const size_t> of) {
      std::vector<double> a, b;
      for (const size_t i : of) {
        a.push_back((*cosines)[i]);
        b.push_back(plan_.pair_scores[i]);
      }
      return function(a, b).value;
    };
    std::vector<size_t> all(cosines->size());
    std::iota(all.begin(), all.end(), 0);
    const BootstrapOptions options{.seed = Random::SubSeed(task_.seed, kBootstrapStream), .cancelled = cancelled_};
    const auto keep = [&](std::string_view name, auto function) {
      if (!Wants(name)) return;
      std::vector<double> replicates = BootstrapReplicates(
          all.size(), [&](absl::Span<const size_t> of) { return correlation(function, of); }, options);
      Keep(name, correlation(function, all), all.size(), BootstrapStandardError(replicates));
      CurveOf(name).layers[layer_].replicates = std::move(replicates);
    };
    keep("pair_spearman", [](const auto& a, const auto& b) { return Spearman(a, b); });
    keep("pair_pearson", [](const auto& a, const auto& b) { return Pearson(a, b); });
  }

  void Retrieval() {
    if (plan_.queries.empty()) return;
    const auto scores =
        ScoreRetrieval(Rows(plan_.queries, pooling_), Rows(plan_.passages, pooling_), plan_.relevant, cancelled_);
    if (!scores.ok()) return Keep("retrieval_ndcg_at_10", scores.status(), 0);
    KeepExamples("retrieval_ndcg_at_10", scores->ndcg_at_10, plan_.example_indices);
    KeepExamples("retrieval_recall_at_10", scores->recall_at_10, plan_.example_indices);
    KeepExamples("retrieval_mrr", scores->reciprocal_rank, plan_.example_indices);
  }

  std::vector<Curve> Curves() && {
    std::vector<Curve> curves;
    for (auto& [key, curve] : curves_) curves.push_back(std::move(curve));
    return curves;
  }

  std::vector<std::string> Notes() const {
    std::vector<std::string> notes;
    for (const auto& [what, layers] : undefined_) {
      notes.push_back(absl::StrCat(what.first, " is not defined at ", layers.size() == 1 ? "layer " : "layers ",
                                   absl::StrJoin(layers, ", "), ": ", what.second));
    }
    return notes;
  }

  const ScoreTask& task_;
  const ScorePlan& plan_;
  const LayerScorer& scorer_;
  const Cancelled& cancelled_;
  std::map<std::string_view, const Metric*> wanted_;
  std::set<MetricGroup> groups_;  // of these
  // Metrics are elements of one array: the order of their addresses is that of reports.
  std::map<std::pair<const Metric*, int>, Curve> curves_;
  std::map<std::pair<std::string, std::string>, std::vector<int>> undefined_;
  std::vector<std::vector<int64_t>> permutations_;
  int layer_ = 0;
  int pooling_ = 0;
};

}  // namespace

absl::StatusOr<MeasuredCurves> MeasureSets(const ScoreTask& task, const ScorePlan& plan, const LayerScorer& scorer,
                                           const std::function<void(int)>& progress, const Cancelled& cancelled) {
  return Measurer(task, plan, scorer, cancelled).Run(progress);
}

}  // namespace midlayer
