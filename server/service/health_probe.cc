#include "server/service/health_probe.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace midlayer {

HealthProbe::HealthProbe(Engine* engine, const Options& options, Report report)
    : engine_(engine), options_(options), report_(std::move(report)), thread_([this] { Loop(); }) {}

HealthProbe::~HealthProbe() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

bool HealthProbe::Wait(absl::Duration time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, absl::ToChronoNanoseconds(time), [this] { return ends_; });
}

void HealthProbe::Loop() {
  absl::Status health = absl::OkStatus();
  while (Wait(options_.interval)) {
    const absl::Status now = absl::Now() - engine_->LastBatch() < options_.interval ? absl::OkStatus() : Probe();
    if (now.ok() != health.ok()) report_(now);
    health = now;
  }
}

absl::Status HealthProbe::Probe() {
  struct Answer {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<absl::Status> status;
  };
  auto answer = std::make_shared<Answer>();
  EmbedTask task{.texts = {"health"}, .truncation = Truncation::kRight, .may_be_cached = false};
  task.outputs = {{.layers = {options_.layer}, .pooling = Pooling::kMean}};
  const std::shared_ptr<Request> request =
      engine_->Embed(std::move(task), Engine::WhenFull::kRefuse, [answer](const absl::StatusOr<EmbedResult>& result) {
        std::lock_guard lock(answer->mutex);
        answer->status = result.status();
        answer->changed.notify_all();
      });
  std::unique_lock lock(answer->mutex);
  const bool answered = answer->changed.wait_for(lock, absl::ToChronoNanoseconds(options_.timeout),
                                                 [&] { return answer->status.has_value(); });
  if (!answered) {
    lock.unlock();
    request->Fail(absl::DeadlineExceededError("the health probe waited long enough"));
    return absl::DeadlineExceededError(
        absl::StrCat("a text of one word was not computed within ", absl::FormatDuration(options_.timeout)));
  }
  // The queue is full: large batches may take long, but not for ever.
  const bool moves = absl::Now() - engine_->LastBatch() < options_.timeout;
  return absl::IsResourceExhausted(*answer->status) && moves ? absl::OkStatus() : *answer->status;
}

}  // namespace midlayer
