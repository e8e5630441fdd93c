#include "server/engine/score_plan.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/augment/augment.h"
#include "server/augment/halves.h"
#include "server/base/random.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

// Streams of random numbers below the run's seed.
enum Stream : uint64_t { kCorpusStream = 1, kComparedStream = 2, kViewStream = 3 };

// Names for several metrics at once.
const std::map<std::string, std::set<MetricGroup>>& Groups() {
  static const std::map<std::string, std::set<MetricGroup>> groups = {
      {"unlabelled", {MetricGroup::kTokens, MetricGroup::kTexts}},
      {"views", {MetricGroup::kViews}},
      {"self_retrieval", {MetricGroup::kSelfRetrieval}},
      {"masked_self_retrieval", {MetricGroup::kMaskedSelfRetrieval}},
      {"labelled", {MetricGroup::kLabels}},
      {"paired", {MetricGroup::kScores, MetricGroup::kRetrieval}},
  };
  return groups;
}

// Whether the examples have what the group needs.
bool Allows(const Dataset& dataset, MetricGroup group) {
  switch (group) {
    case MetricGroup::kLabels:
      return dataset.labelled;
    case MetricGroup::kScores:
      return dataset.scored;
    case MetricGroup::kRetrieval:
      return dataset.retrieval;
    default:
      return true;
  }
}

absl::string_view Needs(MetricGroup group) {
  switch (group) {
    case MetricGroup::kLabels:
      return "a label on every example";
    case MetricGroup::kScores:
      return "paired_text and score on every example";
    default:
      return "relevant_ids, or paired_text without score, on every example that is no passage";
  }
}

absl::Status AddNamed(const std::string& name, const Dataset& dataset, std::set<const Metric*>& wanted) {
  if (const Metric* metric = FindMetric(name); metric != nullptr) {
    if (!Allows(dataset, metric->group)) {
      return absl::InvalidArgumentError(
          absl::StrCat("options.metrics: ", name, ": expected ", Needs(metric->group), ", found none"));
    }
    wanted.insert(metric);
    return absl::OkStatus();
  }
  const auto group = Groups().find(name);
  if (group == Groups().end() && name != "all") {
    return absl::InvalidArgumentError(
        absl::StrCat("options.metrics: expected all, ",
                     absl::StrJoin(Groups(), ", ", [](std::string* out, const auto& g) { out->append(g.first); }), ", ",
                     absl::StrJoin(AllMetrics(), ", ", [](std::string* out, const Metric& m) { out->append(m.name); }),
                     ", found ", name));
  }
  bool any = false;
  for (const Metric& metric : AllMetrics()) {
    if ((name == "all" || group->second.contains(metric.group)) && Allows(dataset, metric.group)) {
      wanted.insert(&metric);
      any = true;
    }
  }
  if (any) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("options.metrics: ", name, ": expected ", Needs(*group->second.rbegin()), ", found none"));
}

absl::StatusOr<std::vector<const Metric*>> WantedMetrics(const ScoreTask& task, const Dataset& dataset) {
  std::set<const Metric*> wanted;
  for (const std::string& name : task.metrics) MIDLAYER_RETURN_IF_ERROR(AddNamed(name, dataset, wanted));
  for (const Criterion::Term& term : task.criterion.terms) {
    MIDLAYER_RETURN_IF_ERROR(Annotate(AddNamed(std::string(term.metric->name), dataset, wanted), "options.criterion"));
  }
  if (task.criterion.text == "valley") wanted.insert(FindMetric("prompt_entropy"));
  if (task.metrics.empty()) {
    for (const Metric& metric : AllMetrics()) {
      const bool costly = metric.group == MetricGroup::kViews || metric.group == MetricGroup::kMaskedSelfRetrieval;
      if (!costly && Allows(dataset, metric.group)) wanted.insert(&metric);
    }
  }
  std::vector<const Metric*> metrics;
  for (const Metric& metric : AllMetrics()) {
    if (wanted.contains(&metric)) metrics.push_back(&metric);
  }
  return metrics;
}

// Builds a plan step by step.
class Planner {
 public:
  Planner(const ScoreTask& task, const Dataset& dataset, std::vector<const Metric*> metrics)
      : task_(task), dataset_(dataset) {
    plan_.metrics = std::move(metrics);
    for (const Metric* metric : plan_.metrics) groups_.insert(metric->group);
  }

  ScorePlan Make() && {
    const std::vector<Text> corpus = dataset_.retrieval ? PlanRetrieval() : PlanExamples();
    PlanTokens(corpus);
    const std::vector<Text> compared = Draw(corpus, kMaxCompared, kComparedStream);
    if (Wants(MetricGroup::kTexts)) {
      for (const Text& text : compared) {
        plan_.texts.push_back(RowOf(text));
        plan_.text_indices.push_back(text.index);
      }
    }
    for (const Text& text : compared) PlanHalves(text);
    if (Wants(MetricGroup::kViews)) {
      for (const Text& text : compared) PlanViews(text);
    }
    return std::move(plan_);
  }

 private:
  struct Text {
    const std::string* text;
    uint64_t index;
  };

  bool Wants(MetricGroup group) const { return groups_.contains(group); }

  // The pass of a text; equal texts share one, which is then wanted whichever of its examples is measured first.
  size_t PassOf(const Text& text) {
    const auto [found, is_new] = pass_of_.try_emplace(*text.text, plan_.passes.size());
    if (is_new) plan_.passes.push_back({.text = *text.text, .index = text.index});
    if (plan_.passes[found->second].index != text.index) plan_.passes[found->second].always = true;
    return found->second;
  }
  int64_t RowOf(const Text& text) {
    int64_t& row = plan_.passes[PassOf(text)].row;
    if (row < 0) row = plan_.rows++;
    return row;
  }

  // Queries and passages. Returns the passages that unlabelled metrics are of.
  std::vector<Text> PlanRetrieval() {
    std::vector<Text> passages;
    std::unordered_map<std::string, int64_t> by_id, by_text;
    const auto passage_of = [&](const std::string& text, uint64_t index) {
      const auto [found, is_new] = by_text.try_emplace(text, static_cast<int64_t>(passages.size()));
      if (is_new) passages.push_back({&text, index});
      return found->second;
    };
    for (size_t i = 0; i < dataset_.examples.size(); ++i) {
      const Example& example = dataset_.examples[i];
      if (!example.passage && example.paired_text.empty()) continue;
      const int64_t place = passage_of(example.passage ? example.text : example.paired_text, dataset_.indices[i]);
      if (example.passage && !example.id.empty()) by_id[example.id] = place;
    }
    if (Wants(MetricGroup::kRetrieval)) {
      for (const Text& passage : passages) {
        plan_.passages.push_back(RowOf(passage));
        plan_.passes[PassOf(passage)].always = true;
      }
    }
    const std::map<std::string, int64_t> classes = Classes();
    for (size_t i = 0; i < dataset_.examples.size(); ++i) {
      const Example& example = dataset_.examples[i];
      if (example.passage) continue;
      if (Wants(MetricGroup::kLabels)) PlanLabel(i, classes);
      if (Wants(MetricGroup::kRetrieval)) {
        plan_.queries.push_back(RowOf({&example.text, dataset_.indices[i]}));
        std::set<int64_t> relevant;
        for (const std::string& id : example.relevant_ids) relevant.insert(by_id.at(id));
        if (!example.paired_text.empty()) relevant.insert(by_text.at(example.paired_text));
        plan_.relevant.emplace_back(relevant.begin(), relevant.end());
      }
      if (Wants(MetricGroup::kLabels) || Wants(MetricGroup::kRetrieval)) {
        plan_.example_indices.push_back(dataset_.indices[i]);
      }
    }
    return Draw(passages, static_cast<size_t>(task_.sample_size), kCorpusStream);
  }

  // A number for each label, in the order of their names.
  std::map<std::string, int64_t> Classes() const {
    std::map<std::string, int64_t> classes;
    for (const Example& example : dataset_.examples) {
      if (!example.passage) classes.try_emplace(example.label, 0);
    }
    int64_t next = 0;
    for (auto& [label, number] : classes) number = next++;
    return classes;
  }

  void PlanLabel(size_t i, const std::map<std::string, int64_t>& classes) {
    plan_.labelled.push_back(RowOf({&dataset_.examples[i].text, dataset_.indices[i]}));
    plan_.labels.push_back(classes.at(dataset_.examples[i].label));
  }

  // Labels and scored pairs. Returns the texts.
  std::vector<Text> PlanExamples() {
    std::vector<Text> texts;
    const std::map<std::string, int64_t> classes = Classes();
    for (size_t i = 0; i < dataset_.examples.size(); ++i) {
      const Example& example = dataset_.examples[i];
      const uint64_t index = dataset_.indices[i];
      texts.push_back({&example.text, index});
      if (Wants(MetricGroup::kLabels)) PlanLabel(i, classes);
      if (Wants(MetricGroup::kScores)) {
        plan_.pair_first.push_back(RowOf({&example.text, index}));
        plan_.pair_second.push_back(RowOf({&example.paired_text, index}));
        plan_.pair_scores.push_back(*example.score);
      }
      if (Wants(MetricGroup::kLabels) || Wants(MetricGroup::kScores)) plan_.example_indices.push_back(index);
    }
    return texts;
  }

  void PlanTokens(const std::vector<Text>& corpus) {
    if (!Wants(MetricGroup::kTokens)) return;
    for (const Text& text : corpus) {
      int64_t& slot = plan_.passes[PassOf(text)].token_slot;
      if (slot >= 0) continue;  // the same text again tells nothing new
      slot = static_cast<int64_t>(plan_.token_indices.size());
      plan_.token_indices.push_back(text.index);
    }
  }

  // A text that is no example by itself, with a row of its own.
  int64_t AddDerived(std::string text, uint64_t index) {
    plan_.passes.push_back({.text = std::move(text), .index = index, .row = plan_.rows});
    return plan_.rows++;
  }

  void PlanHalves(const Text& text) {
    if (!Wants(MetricGroup::kSelfRetrieval) && !Wants(MetricGroup::kMaskedSelfRetrieval)) return;
    const std::optional<std::pair<std::string, std::string>> halves = SplitInHalves(*text.text);
    if (!halves.has_value()) return Skip(plan_.skipped, "too short to be cut in halves", text.index);
    if (Wants(MetricGroup::kSelfRetrieval)) {
      plan_.first_halves.push_back(AddDerived(halves->first, text.index));
      plan_.second_halves.push_back(AddDerived(halves->second, text.index));
      plan_.half_indices.push_back(text.index);
    }
    if (!Wants(MetricGroup::kMaskedSelfRetrieval)) return;
    const std::optional<std::pair<std::string, std::string>> masked = MaskSharedWords(halves->first, halves->second);
    if (!masked.has_value()) return Skip(plan_.skipped, "halves of the same words", text.index);
    plan_.masked_first_halves.push_back(AddDerived(masked->first, text.index));
    plan_.masked_second_halves.push_back(AddDerived(masked->second, text.index));
    plan_.masked_indices.push_back(text.index);
  }

  void PlanViews(const Text& text) {
    const uint64_t seed = Random::SubSeed(Random::SubSeed(task_.seed, kViewStream), text.index);
    const auto viewed = static_cast<int64_t>(plan_.views_of.size());
    plan_.views_of.push_back(text.index);
    for (int view = 0; view < task_.views; ++view) {
      Pass pass{.text = AugmentedView(*text.text, seed, static_cast<uint64_t>(view)),
                .index = text.index,
                .viewed = viewed,
                .view = view};
      if (view < 2) {
        pass.row = plan_.rows++;
        (view == 0 ? plan_.first_views : plan_.second_views).push_back(pass.row);
      }
      plan_.passes.push_back(std::move(pass));
    }
  }

  // At most `size` of `texts`, in their order.
  std::vector<Text> Draw(const std::vector<Text>& texts, size_t size, Stream stream) const {
    if (texts.size() <= size) return texts;
    std::vector<size_t> chosen = Random(Random::SubSeed(task_.seed, stream)).Sample(texts.size(), size);
    std::sort(chosen.begin(), chosen.end());
    std::vector<Text> drawn;
    for (const size_t i : chosen) drawn.push_back(texts[i]);
    return drawn;
  }

  const ScoreTask& task_;
  const Dataset& dataset_;
  std::set<MetricGroup> groups_;
  std::unordered_map<std::string, size_t> pass_of_;
  ScorePlan plan_;
};

}  // namespace

void Skip(std::map<std::string, Skipped>& skipped, const std::string& reason, uint64_t index) {
  Skipped& entry = skipped[reason];
  ++entry.count;
  if (entry.indices.size() < Skipped::kShown) entry.indices.push_back(index);
}

ScorePlan Restrict(const ScorePlan& plan, const std::unordered_set<uint64_t>& indices) {
  ScorePlan restricted = plan;
  // Keeps those elements of `list` whose place in `of` is among the examples.
  const auto keep = [&](auto& list, const std::vector<uint64_t>& of) {
    if (list.empty()) return;
    size_t kept = 0;
    for (size_t i = 0; i < of.size(); ++i) {
      if (!indices.contains(of[i])) continue;
      if (kept != i) list[kept] = std::move(list[i]);
      ++kept;
    }
    list.resize(kept);
  };
  keep(restricted.texts, plan.text_indices);
  keep(restricted.text_indices, plan.text_indices);
  keep(restricted.first_halves, plan.half_indices);
  keep(restricted.second_halves, plan.half_indices);
  keep(restricted.half_indices, plan.half_indices);
  keep(restricted.masked_first_halves, plan.masked_indices);
  keep(restricted.masked_second_halves, plan.masked_indices);
  keep(restricted.masked_indices, plan.masked_indices);
  keep(restricted.first_views, plan.views_of);
  keep(restricted.second_views, plan.views_of);
  keep(restricted.views_of, plan.views_of);
  keep(restricted.labelled, plan.example_indices);
  keep(restricted.labels, plan.example_indices);
  keep(restricted.pair_first, plan.example_indices);
  keep(restricted.pair_second, plan.example_indices);
  keep(restricted.pair_scores, plan.example_indices);
  keep(restricted.queries, plan.example_indices);
  keep(restricted.relevant, plan.example_indices);
  keep(restricted.example_indices, plan.example_indices);
  return restricted;
}

absl::StatusOr<ScorePlan> MakePlan(const ScoreTask& task, const Dataset& dataset) {
  MIDLAYER_ASSIGN_OR_RETURN(std::vector<const Metric*> metrics, WantedMetrics(task, dataset));
  return Planner(task, dataset, std::move(metrics)).Make();
}

}  // namespace midlayer
