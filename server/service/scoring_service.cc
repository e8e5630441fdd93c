#include "server/service/scoring_service.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/service/named_dataset.h"
#include "server/service/scoring_convert.h"
#include "spdlog/spdlog.h"

namespace midlayer {

namespace {

// One call: reads options and examples, has them scored on a thread of the pool, writes progress and the report. gRPC
// waits for Finish(), which comes once the run is over and nothing is being written: so neither gRPC nor the run ever
// calls into a dead reactor. Deletes itself.
class ScoreReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // caller: as Callers calls it.
  ScoreReactor(const ServiceContext& context, grpc::CallbackServerContext* call, std::string caller,
               std::atomic<int>* runs, WorkerPool* pool)
      : context_(context),
        call_(call),
        tags_(TagCall(call)),
        caller_(std::move(caller)),
        runs_(runs),
        pool_(pool),
        builder_(context.score_limits.dataset) {}

  void Start() {
    if (++*runs_ > context_.score_limits.runs) {
      context_.telemetry->Rejected("score_runs");
      return End(absl::ResourceExhaustedError(absl::StrCat("ScoreLayers: expected at most ", context_.score_limits.runs,
                                                           " runs at once (--max-score-runs), found more")));
    }
    StartRead(&input_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      pool_->Schedule([this] { Work(); });
      return;
    }
    if (const absl::Status taken = Take(); !taken.ok()) return Refuse(taken);
    StartRead(&input_);
  }

  void OnWriteDone(bool) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    Act(std::move(lock));
  }

  void OnCancel() override { cancelled_ = true; }

  void OnDone() override { delete this; }

 private:
  // input_ is a message.
  absl::Status Take() {
    v1::ScoreLayersRequest wire;
    grpc::ProtoBufferReader reader(&input_);
    if (!reader.status().ok() || !wire.ParseFromZeroCopyStream(&reader)) {
      return absl::InvalidArgumentError(absl::StrCat(
          options_.has_value() ? absl::StrCat("examples[", builder_.received(), "]") : "options",
          ": expected a message as in midlayer/v1/scoring.proto, all its strings UTF-8, found other bytes"));
    }
    if (wire.has_options()) {
      if (options_.has_value())
        return absl::InvalidArgumentError("options: expected once, before the examples, found twice");
      MIDLAYER_ASSIGN_OR_RETURN(task_, ToScoreTask(wire.options(), *context_.model));
      if (wire.options().promote()) {
        MIDLAYER_RETURN_IF_ERROR(context_.callers->Authorize(*call_, Callers::Right::kChangeSelections).status());
      }
      MIDLAYER_RETURN_IF_ERROR(DecideToStore(*wire.mutable_options()));
      options_ = wire.options();
      return absl::OkStatus();
    }
    if (!options_.has_value()) return absl::InvalidArgumentError("options: expected first, found an example");
    if (!options_->dataset_name().empty()) {
      return absl::InvalidArgumentError("examples: expected none beside options.dataset_name, found one");
    }
    return builder_.Add(ToExample(std::move(*wire.mutable_example())));
  }

  // Where nothing can be stored, a run that was not asked to store is answered all the same.
  absl::Status DecideToStore(v1::ScoreOptions& options) const {
    if (context_.selections->store().keeps()) return absl::OkStatus();
    if (options.promote() || (options.has_store() && options.store())) {
      return absl::FailedPreconditionError(
          absl::StrCat(options.promote() ? "promote" : "store",
                       ": expected false on a server that keeps no selections, found true"));
    }
    options.set_store(false);
    return absl::OkStatus();
  }

  void Work() {
    context_.telemetry->ScoreBegan();
    if (call_->IsCancelled()) cancelled_ = true;  // told before OnCancel(): what was read is not the whole data set
    absl::StatusOr<v1::ScoreReport> report = cancelled_ ? CancelReason(*call_) : Score();
    if (!report.ok() && cancelled_) report = CancelReason(*call_);
    context_.telemetry->ScoreEnded(CodeName(report.status().code()));
    if (!report.ok()) return Refuse(report.status());
    v1::ScoreLayersResponse response;
    *response.mutable_report() = *std::move(report);
    End(absl::OkStatus(), &response);
  }

  absl::StatusOr<v1::ScoreReport> Score() {
    if (!options_.has_value()) return absl::InvalidArgumentError("options: expected first, found none");
    if (!options_->dataset_name().empty()) {
      MIDLAYER_RETURN_IF_ERROR(ReadNamedDataset(context_.score_limits.directory, options_->dataset_name(), builder_,
                                                [this] { return cancelled_.load(); }));
    }
    MIDLAYER_ASSIGN_OR_RETURN(const Dataset dataset, builder_.Finish(task_.sample_size, task_.seed));
    MIDLAYER_ASSIGN_OR_RETURN(v1::ScoreReport report, StoredOrNew(dataset));
    if (options_->promote()) {
      std::optional<std::string> expected;
      if (options_->has_expected_current_id()) expected = options_->expected_current_id();
      MIDLAYER_RETURN_IF_ERROR(
          context_.selections->Promote(report.selection().id(), expected, options_->force(), caller_).status());
    }
    report.mutable_selection()->set_promoted(report.selection().id() == context_.selections->InForce().id);
    return report;
  }

  absl::StatusOr<v1::ScoreReport> StoredOrNew(const Dataset& dataset) {
    if (!options_->refresh()) {
      const auto stored = context_.selections->FindCached(CacheKey(task_, dataset, *context_.model));
      v1::ScoreReport report;
      if (stored.has_value() && report.ParseFromString(stored->report)) {
        report.set_cached(true);
        return report;
      }
    }
    MIDLAYER_ASSIGN_OR_RETURN(const ScoreResult result,
                              context_.scorer->Run(task_, dataset,
                                                   {.progress = [this](const ScoreProgress& p) { Progress(p); },
                                                    .cancelled = [this] { return cancelled_.load(); }}));
    const SelectionRecord record = ToRecord(task_, dataset, result, *context_.model, absl::Now());
    v1::ScoreReport report = ToReport(*options_, task_, dataset, result, *context_.model);
    *report.mutable_selection() = FromRecord(record, false);
    if (report.options().store()) {
      MIDLAYER_RETURN_IF_ERROR(context_.selections->store().Put(record, report.SerializeAsString()));
    }
    context_.telemetry->ScoreStageTook("forward", result.cost.forward_seconds);
    context_.telemetry->ScoreStageTook("accumulate", result.cost.accumulate_seconds);
    context_.telemetry->ScoreStageTook("finish", result.cost.finish_seconds);
    return report;
  }

  // Tells the caller, unless it is still being told of something before.
  void Progress(const ScoreProgress& progress) {
    if (progress.total > 0 && std::string_view(progress.stage) == "forward") {
      context_.telemetry->ScoreIsAt(static_cast<double>(progress.done) / static_cast<double>(progress.total));
    }
    std::unique_lock lock(mutex_);
    if (writing_ || output_ready_ || cancelled_ || absl::Now() < next_progress_) return;
    next_progress_ = absl::Now() + absl::Milliseconds(100);
    v1::ScoreLayersResponse response;
    response.mutable_progress()->set_stage(progress.stage);
    response.mutable_progress()->set_done(progress.done);
    response.mutable_progress()->set_total(progress.total);
    response.mutable_progress()->set_remaining_seconds(progress.remaining_seconds);
    Serialize(response);
    Act(std::move(lock));
  }

  void Refuse(const absl::Status& status) {
    if (absl::IsResourceExhausted(status)) context_.telemetry->Rejected("score_size");
    End(status);
  }

  // The call is over, with `last` as its last answer where there is one.
  void End(const absl::Status& status, const v1::ScoreLayersResponse* last = nullptr) {
    RecordEnd(
        context_, tags_,
        {.method = "ScoreLayers", .status = status, .start = start_, .texts = static_cast<int>(builder_.received())});
    --*runs_;
    std::unique_lock lock(mutex_);
    if (last != nullptr) last_ = *last;
    ending_ = ToGrpc(status);
    Act(std::move(lock));
  }

  // mutex_ is held.
  void Serialize(const v1::ScoreLayersResponse& response) {
    bool own_buffer = false;
    output_.Clear();
    grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::ScoreLayersResponse>(response, &output_, &own_buffer);
    output_ready_ = true;
  }

  // Starts what can be started, outside the lock: gRPC may call back before a Start…() returns. After the last call the
  // object may be gone.
  void Act(std::unique_lock<std::mutex> lock) {
    if (writing_ || finished_) return;
    if (!output_ready_ && last_.has_value()) {
      Serialize(*last_);
      last_.reset();
    }
    const bool write = std::exchange(output_ready_, false);
    writing_ = write;
    const bool finish = !write && ending_.has_value();
    finished_ = finish;
    const grpc::Status status = finish ? *ending_ : grpc::Status::OK;
    lock.unlock();
    if (write) StartWrite(&output_);
    if (finish) Finish(status);
  }

  const ServiceContext& context_;
  grpc::CallbackServerContext* const call_;
  const CallTags tags_;
  const std::string caller_;
  std::atomic<int>* const runs_;
  WorkerPool* const pool_;
  const absl::Time start_ = absl::Now();

  // Of the reading, then of the run.
  grpc::ByteBuffer input_;
  std::optional<v1::ScoreOptions> options_;
  ScoreTask task_;
  DatasetBuilder builder_;

  std::atomic<bool> cancelled_ = false;

  std::mutex mutex_;
  // Guarded by mutex_.
  grpc::ByteBuffer output_;  // being written where writing_
  bool output_ready_ = false;
  bool writing_ = false;
  bool finished_ = false;
  absl::Time next_progress_ = absl::InfinitePast();
  std::optional<v1::ScoreLayersResponse> last_;
  std::optional<grpc::Status> ending_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ScoringServiceImpl::ScoreLayers(
    grpc::CallbackServerContext* call) {
  absl::StatusOr<std::string> caller = context_.callers->Authorize(*call, Callers::Right::kUse);
  if (!caller.ok()) return NewRefusal(context_, call, "ScoreLayers", caller.status());
  auto* reactor = new ScoreReactor(context_, call, *std::move(caller), &runs_, &pool_);
  reactor->Start();
  return reactor;
}

}  // namespace midlayer
