#include "server/engine/torch_scorer.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/engine/chunk_sizer.h"
#include "server/engine/judge.h"
#include "server/engine/layer_scorer.h"
#include "server/engine/score_rounds.h"
#include "server/engine/set_metrics.h"
#include "server/engine/worker_pool.h"
#include "server/models/device.h"

namespace midlayer {

namespace {

constexpr double kSecondsBeforeAnEstimate = 1;  // of the time left
constexpr uint64_t kChunkBytes = 64 << 20;      // of the states of one chunk; a single text may take more

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// This thread, and those that it starts, run where nothing else wants to.
void LowerPriority() { setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19); }

// A pass with its tokens.
struct EncodedPass {
  const Pass* pass;
  Engine::Encoded tokens;
};

// One run from plan to curves.
class Run {
 public:
  Run(Engine* engine, const ModelInfo& model, const Tokenizer& tokenizer, const ScoreTask& task, const ScorePlan& plan,
      const Scorer::Watch& watch)
      : engine_(*engine),
        model_(model),
        task_(task),
        plan_(plan),
        watch_(watch),
        scorer_options_{.layers = model.max_layer + 1,
                        .hidden = model.description.arch.hidden,
                        .leading_tokens = tokenizer.num_leading(),
                        .trailing_tokens = tokenizer.num_trailing()},
        beside_(1) {
    beside_.Schedule(LowerPriority);
  }

  absl::StatusOr<ScoreResult> Measure(uint64_t max_bytes) {
    const uint64_t bytes = LayerScorer::Bytes(task_, plan_, scorer_options_) + 2 * kChunkBytes;
    if (bytes > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the run would hold ", bytes >> 20, " MiB, expected at most ", max_bytes >> 20,
                       " (--max-score-bytes): score fewer poolings, metrics or passages"));
    }
    result_.cost.peak_bytes = bytes;
    MIDLAYER_RETURN_IF_ERROR(Encode());
    MIDLAYER_RETURN_IF_ERROR(Beside([this] { scorer_.emplace(&task_, &plan_, scorer_options_); }));
    MIDLAYER_ASSIGN_OR_RETURN(const ScorePlan measured, ForwardInRounds());
    const auto start = std::chrono::steady_clock::now();
    MIDLAYER_ASSIGN_OR_RETURN(MeasuredCurves sets, MeasureCurves(measured));
    result_.cost.finish_seconds = SecondsSince(start);
    result_.curves = std::move(sets.curves);
    result_.notes.insert(result_.notes.end(), sets.notes.begin(), sets.notes.end());
    result_.cost.accumulate_seconds = scorer_->processor_seconds();
    for (const auto& [reason, skipped] : scorer_->skipped()) result_.skipped[reason] = skipped;
    result_.cost.total_seconds = SecondsSince(start_);
    return std::move(result_);
  }

 private:
  // Runs `work` on the thread beside, and waits for it.
  absl::Status Beside(const std::function<void()>& work) {
    auto ended = std::make_shared<std::promise<absl::Status>>();
    std::future<absl::Status> end = ended->get_future();
    beside_.Schedule([ended, &work] { ended->set_value(CatchTorch(work)); });
    return end.get();
  }

  absl::StatusOr<MeasuredCurves> MeasureCurves(const ScorePlan& plan) {
    absl::StatusOr<MeasuredCurves> curves = absl::InternalError("not measured");
    MIDLAYER_RETURN_IF_ERROR(Beside([&] {
      const auto progress = [this](int layer) {
        Report("metrics", static_cast<uint64_t>(layer), static_cast<uint64_t>(scorer_options_.layers));
      };
      curves = MeasureSets(task_, plan, *scorer_, progress, watch_.cancelled);
    }));
    return curves;
  }

  // Runs the passes, round by round. Returns the plan of what was measured: all of it, unless the choice was settled
  // before.
  absl::StatusOr<ScorePlan> ForwardInRounds() {
    const ScoreRounds rounds(task_, plan_);
    if (task_.stop_early && rounds.count() == 1) {
      result_.notes.push_back("stop_early has no effect: what decides is no mean over examples.");
    }
    std::stable_sort(passes_.begin(), passes_.end(), [&](const EncodedPass& a, const EncodedPass& b) {
      return rounds.RoundOf(*a.pass) < rounds.RoundOf(*b.pass);
    });
    size_t first = 0;
    for (int round = 0; round < rounds.count(); ++round) {
      size_t end = first;
      while (end < passes_.size() && rounds.RoundOf(*passes_[end].pass) == round) ++end;
      MIDLAYER_RETURN_IF_ERROR(Forward(first, end));
      first = end;
      if (round + 1 == rounds.count()) break;
      std::unordered_set<uint64_t> measured = rounds.Measured(round);
      ScorePlan so_far = Restrict(plan_, measured);
      MIDLAYER_ASSIGN_OR_RETURN(const bool settled, LookAt(so_far));
      if (!settled) continue;
      for (size_t i = 0; i < end; ++i) measured.insert(passes_[i].pass->index);  // passages that were to be found
      result_.examples = measured.size();
      result_.notes.push_back(absl::StrCat("Stopped after ", round + 1, " of ", rounds.count(),
                                           " parts of the examples: the choice was settled."));
      return so_far;
    }
    return plan_;
  }

  absl::StatusOr<bool> LookAt(ScorePlan plan) {
    plan.metrics = {SettlingMetric(task_, plan_)};
    MIDLAYER_ASSIGN_OR_RETURN(MeasuredCurves looked, MeasureCurves(plan));
    for (Curve& curve : looked.curves) curve.direction = DirectionOf(*curve.metric, task_.criterion);
    return IsSettled(looked.curves);
  }

  absl::Status Encode() {
    uint64_t cut = 0;
    for (const Pass& pass : plan_.passes) {
      if (watch_.cancelled()) return absl::CancelledError("cancelled by the caller");
      absl::StatusOr<Engine::Encoded> tokens = engine_.Encode(task_.prompt, pass.text);
      if (!tokens.ok()) return Annotate(tokens.status(), absl::StrCat("examples[", pass.index, "]"));
      if (tokens->truncated && pass.viewed < 0) ++cut;
      total_tokens_ += tokens->ids.size();
      passes_.push_back({&pass, *std::move(tokens)});
    }
    // By length, which attention likes; views stay beside each other, behind the others.
    std::stable_sort(passes_.begin(), passes_.end(), [](const EncodedPass& a, const EncodedPass& b) {
      const bool a_is_view = a.pass->viewed >= 0, b_is_view = b.pass->viewed >= 0;
      if (a_is_view || b_is_view) return !a_is_view && b_is_view;
      return a.tokens.ids.size() < b.tokens.ids.size();
    });
    if (cut > 0) {
      result_.notes.push_back(absl::StrCat(cut, " texts are longer than the ", model_.description.max_tokens,
                                           " tokens that the model takes, and were measured without their ends."));
    }
    return absl::OkStatus();
  }

  absl::Status Forward(size_t first, size_t end) {
    StatesChunk chunks[2];
    std::future<absl::Status> accumulated;
    int next = 0;
    const auto wait = [&] { return accumulated.valid() ? accumulated.get() : absl::OkStatus(); };
    while (first < end) {
      StatesChunk& chunk = chunks[next];
      next = 1 - next;
      first = Fill(first, end, sizer_.tokens(), chunk);
      const absl::Status ran = RunChunk(chunk);
      const absl::Status kept = wait();  // of the chunk before
      if (!ran.ok() || !kept.ok()) return ran.ok() ? kept : ran;
      auto ended = std::make_shared<std::promise<absl::Status>>();
      accumulated = ended->get_future();
      beside_.Schedule([this, &chunk, ended] { ended->set_value(CatchTorch([&] { scorer_->Accumulate(chunk); })); });
      Report("forward", result_.cost.tokens, total_tokens_);
    }
    return wait();
  }

  // Passes from `first` to `end`, so many tokens of them, at least one. Returns the first that is left.
  size_t Fill(size_t first, size_t end, int64_t tokens, StatesChunk& chunk) {
    chunk.passes.clear();
    chunk.pool_begin.clear();
    chunk.packed = {.offsets = {0}};
    for (; first < end; ++first) {
      const EncodedPass& pass = passes_[first];
      const auto length = static_cast<int64_t>(pass.tokens.ids.size());
      if (!chunk.passes.empty() && chunk.packed.tokens() + length > tokens) break;
      chunk.passes.push_back(pass.pass);
      chunk.pool_begin.push_back(pass.tokens.pool_begin);
      chunk.packed.ids.insert(chunk.packed.ids.end(), pass.tokens.ids.begin(), pass.tokens.ids.end());
      chunk.packed.offsets.push_back(chunk.packed.tokens());
      chunk.packed.last_layer.push_back(model_.max_layer);
    }
    return first;
  }

  absl::Status RunChunk(StatesChunk& chunk) {
    chunk.layers_PD.resize(static_cast<size_t>(scorer_options_.layers));
    bool cancelled = false;
    MIDLAYER_ASSIGN_OR_RETURN(
        const absl::Duration took,
        engine_.RunStates(chunk.packed, task_.state, [&](int layer, absl::Span<const float> states) {
          chunk.layers_PD[layer].assign(states.begin(), states.end());
          cancelled = watch_.cancelled();
          return !cancelled;
        }));
    if (cancelled) return absl::CancelledError("cancelled by the caller");
    sizer_.Took(chunk.packed.tokens(), took / scorer_options_.layers);
    result_.cost.forward_seconds += absl::ToDoubleSeconds(took);
    result_.cost.texts += chunk.passes.size();
    result_.cost.tokens += static_cast<uint64_t>(chunk.packed.tokens());
    return absl::OkStatus();
  }

  // One thread at a time calls it.
  void Report(const char* stage, uint64_t done, uint64_t total) {
    if (stage != stage_) stage_start_ = std::chrono::steady_clock::now();
    stage_ = stage;
    const double elapsed = SecondsSince(stage_start_);
    const bool known = done > 0 && elapsed >= kSecondsBeforeAnEstimate;
    const double left = known ? elapsed * static_cast<double>(total - done) / static_cast<double>(done) : 0;
    watch_.progress({.stage = stage, .done = done, .total = total, .remaining_seconds = left});
  }

  Engine& engine_;
  const ModelInfo& model_;
  const ScoreTask& task_;
  const ScorePlan& plan_;
  const Scorer::Watch& watch_;
  const LayerScorerOptions scorer_options_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::string_view stage_;
  std::chrono::steady_clock::time_point stage_start_ = start_;
  std::vector<EncodedPass> passes_;
  uint64_t total_tokens_ = 0;
  ScoreResult result_;
  ChunkSizer sizer_{static_cast<int64_t>(
      kChunkBytes / (static_cast<uint64_t>(scorer_options_.layers * scorer_options_.hidden) * sizeof(float)))};
  std::optional<LayerScorer> scorer_;
  WorkerPool beside_;  // last: its work uses the others
};

class TorchScorer final : public Scorer {
 public:
  TorchScorer(Engine* engine, const ModelInfo* model, const Tokenizer* tokenizer, const TorchScorerOptions& options)
      : engine_(engine), model_(*model), tokenizer_(*tokenizer), options_(options) {}

  absl::StatusOr<ScoreResult> Run(const ScoreTask& task, const Dataset& dataset, const Watch& watch) override {
    MIDLAYER_ASSIGN_OR_RETURN(const ScorePlan plan, MakePlan(task, dataset));
    MIDLAYER_ASSIGN_OR_RETURN(
        ScoreResult result, midlayer::Run(engine_, model_, tokenizer_, task, plan, watch).Measure(options_.max_bytes));
    if (result.examples == 0) result.examples = dataset.examples.size();
    if (!model_.description.dense.empty()) {
      result.notes.push_back(
          "Layers are measured as they are pooled; the model's own Dense modules, which Embed applies to its last "
          "layer, "
          "are left out.");
    }
    for (const auto& [reason, skipped] : plan.skipped) result.skipped[reason] = skipped;
    MIDLAYER_RETURN_IF_ERROR(
        JudgeResult(task,
                    {.layers = model_.description.arch.layers,
                     .max_layer = model_.max_layer,
                     .pooled_last_layer_was_trained = model_.description.pooled_last_layer_was_trained},
                    result));
    return result;
  }

 private:
  Engine* const engine_;
  const ModelInfo& model_;
  const Tokenizer& tokenizer_;
  const TorchScorerOptions options_;
};

}  // namespace

std::unique_ptr<Scorer> MakeTorchScorer(Engine* engine, const ModelInfo* model, const Tokenizer* tokenizer,
                                        const TorchScorerOptions& options) {
  return std::make_unique<TorchScorer>(engine, model, tokenizer, options);
}

}  // namespace midlayer
