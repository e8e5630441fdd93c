#include "server/engine/engine.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

constexpr size_t kTextsPerTask = 16;  // of the tokenizer pool: small enough to spread, large enough to be worth a hop

Admission::Size SizeOf(const EmbedTask& task) {
  Admission::Size size{.texts = static_cast<int64_t>(task.texts.size())};
  for (const std::string& text : task.texts) size.bytes += static_cast<int64_t>(text.size());
  return size;
}

}  // namespace

struct Engine::Tokenizing {
  std::shared_ptr<Request> request;
  int prompt_tokens = 0;  // how many tokens are not pooled
  std::vector<Row> rows;  // each written by one thread
};

Engine::Engine(const Options& options, const Tokenizer* tokenizer, std::vector<std::unique_ptr<Runner>> runners,
               Telemetry* telemetry)
    : options_(options),
      tokenizer_(tokenizer),
      telemetry_(telemetry),
      admission_(options.max_waiting, [telemetry](int64_t texts) { telemetry->WaitingTextsAre(texts); }),
      batcher_(options.batch_tokens, options.clock,
               [telemetry](int64_t rows, int64_t tokens) { telemetry->QueueIs(rows, tokens); }),
      pool_(options.tokenizer_threads),
      last_batch_micros_(absl::ToUnixMicros(options.clock())),
      lanes_(runners.size()) {
  telemetry_->LimitsAre(options_.batch_tokens, options_.max_waiting.texts);
  if (options_.cache_entries > 0) cache_.emplace(options_.cache_entries, telemetry);
  for (size_t lane = 0; lane < lanes_.size(); ++lane) lanes_[lane].runner = std::move(runners[lane]);
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    lanes_[lane].thread = std::thread([this, lane] { RunLoop(static_cast<int>(lane)); });
  }
}

Engine::~Engine() {
  batcher_.Close();
  for (Lane& lane : lanes_) lane.thread.join();
}

std::shared_ptr<Request> Engine::Embed(EmbedTask task, WhenFull when_full, Request::Done done) {
  const Admission::Size size = SizeOf(task);
  auto request = std::make_shared<Request>(std::move(task), options_.clock(), std::move(done));
  if (when_full == WhenFull::kWait) {
    admission_.Wait(size, [this, request](Admission::Permit granted) {
      request->Hold(std::move(granted));
      StartTokenizing(request);
    });
    return request;
  }
  absl::StatusOr<Admission::Permit> granted = admission_.Try(size);
  if (!granted.ok()) {
    telemetry_->Rejected("queue_full");
    request->Fail(granted.status());
    return request;
  }
  request->Hold(*std::move(granted));
  StartTokenizing(request);
  return request;
}

void Engine::StartTokenizing(const std::shared_ptr<Request>& request) {
  auto work = std::make_shared<Tokenizing>();
  work->request = request;
  work->rows.resize(request->task.texts.size());
  if (!options_.include_prompt && !request->task.prompt.empty()) {
    const absl::StatusOr<int> tokens = tokenizer_->PromptTokens(request->task.prompt);
    if (!tokens.ok()) return request->Fail(Annotate(tokens.status(), "prompt"));
    work->prompt_tokens = *tokens;
  }
  const size_t texts = work->rows.size();  // once a part is scheduled, the rows may be on their way
  for (size_t first = 0; first < texts; first += kTextsPerTask) {
    const size_t end = std::min(first + kTextsPerTask, texts);
    pool_.Schedule([this, work, first, end] { Tokenize(work, first, end); });
  }
}

void Engine::Tokenize(const std::shared_ptr<Tokenizing>& work, size_t first, size_t end) {
  const std::shared_ptr<Request>& request = work->request;
  const bool looks_up = cache_.has_value() && request->task.may_be_cached;
  std::vector<std::pair<size_t, VectorCache::Text>> cached;
  for (size_t text = first; text < end; ++text) {
    if (request->Ended()) return;
    if (request->task.deadline <= options_.clock()) {
      return request->Fail(absl::DeadlineExceededError("the deadline passed before the texts were tokenized"));
    }
    std::string cache_key = looks_up ? VectorCache::KeyOf(request->task, text) : "";
    if (looks_up) {
      if (std::optional<VectorCache::Text> found = cache_->Find(cache_key, request->slots)) {
        request->SetTokens(text, found->tokens, found->truncated);
        cached.emplace_back(text, *std::move(found));
        continue;
      }
    }
    absl::StatusOr<Row> row = TokenizeText(request, text, work->prompt_tokens);
    if (!row.ok()) return request->Fail(Annotate(row.status(), absl::StrCat("texts[", text, "]")));
    work->rows[text] = *std::move(row);
    work->rows[text].cache_key = std::move(cache_key);
  }
  // Counted only now: the rows must be in place when the last one pushes them.
  const absl::Time now = options_.clock();
  const bool is_last = request->Tokenized(end - first, now);
  for (auto& [text, found] : cached) {
    request->Deliver(text, std::move(found.pooled), absl::ZeroDuration(), absl::ZeroDuration());
  }
  if (!is_last) return;
  telemetry_->StageTook(Telemetry::Stage::kTokenize, absl::ToDoubleSeconds(now - request->start));
  std::erase_if(work->rows, [](const Row& row) { return row.request == nullptr; });
  if (!work->rows.empty()) batcher_.Push(std::move(work->rows));
}

absl::StatusOr<Row> Engine::TokenizeText(const std::shared_ptr<Request>& request, size_t text, int prompt_tokens) {
  const EmbedTask& task = request->task;
  MIDLAYER_ASSIGN_OR_RETURN(Encoding encoding,
                            task.prompt.empty() ? tokenizer_->Encode(task.texts[text], task.truncation)
                                                : tokenizer_->Encode(task.prompt + task.texts[text], task.truncation));
  const int tokens = static_cast<int>(encoding.ids.size());
  if (encoding.truncated && task.truncation == Truncation::kLeft && prompt_tokens > 0) {
    // The cut went through the prompt first; the special tokens before it stayed.
    MIDLAYER_ASSIGN_OR_RETURN(const int leading, tokenizer_->PromptTokens(""));
    prompt_tokens = std::max(leading, prompt_tokens - (encoding.untruncated_tokens - tokens));
  }
  if (prompt_tokens >= tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: expected fewer tokens than the ", tokens, " of prompt and text, found ", prompt_tokens));
  }
  request->SetTokens(text, tokens, encoding.truncated);
  return Row{.request = request,
             .text = text,
             .ids = std::move(encoding.ids),
             .pool_begin = prompt_tokens,
             .queued = options_.clock(),
             .truncated = encoding.truncated};
}

absl::StatusOr<Engine::Encoded> Engine::Encode(const std::string& prompt, const std::string& text) const {
  Encoded encoded;
  if (!options_.include_prompt && !prompt.empty()) {
    MIDLAYER_ASSIGN_OR_RETURN(encoded.pool_begin, tokenizer_->PromptTokens(prompt));
  }
  MIDLAYER_ASSIGN_OR_RETURN(Encoding encoding, tokenizer_->Encode(prompt + text, Truncation::kRight));
  if (static_cast<size_t>(encoded.pool_begin) >= encoding.ids.size()) {
    return absl::InvalidArgumentError("prompt: expected room for the text behind it, found none");
  }
  encoded.ids = std::move(encoding.ids);
  encoded.truncated = encoding.truncated;
  return encoded;
}

absl::StatusOr<absl::Duration> Engine::RunStates(const PackedTokens& batch, State state, Runner::StatesTap tap) {
  absl::Duration took;
  // Shared: the caller may be gone while set_value() still returns.
  auto ended = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> end = ended->get_future();
  batcher_.PushBackground([this, &batch, &took, state, tap, ended](int runner) {
    if (runner == kNotRun) return ended->set_value(absl::UnavailableError("the server is shutting down"));
    Lane& lane = lanes_[static_cast<size_t>(runner)];
    absl::Time step = options_.clock();
    ended->set_value(lane.runner->RunStates(batch, state, [&](int layer, absl::Span<const float> states_PD) {
      const bool go_on = tap(layer, states_PD);
      const absl::Duration layer_took = options_.clock() - step;
      took += layer_took;
      lane.share.BackgroundTook(layer_took);
      StepAside(runner);
      step = options_.clock();
      return go_on;
    }));
  });
  MIDLAYER_RETURN_IF_ERROR(end.get());
  return took;
}

void Engine::StepAside(int runner) {
  Lane& lane = lanes_[static_cast<size_t>(runner)];
  while (!lane.share.IsDue()) {
    if (std::optional<Batch> batch = batcher_.NextIfWaiting(runner)) {
      RunBatch(lane, *std::move(batch));
    } else if (!lane.runner->SharesProcessors() || !WaitForABatch(lane)) {
      return;
    }
  }
}

bool Engine::WaitForABatch(Lane& lane) {
  const absl::Time start = options_.clock();
  {
    std::unique_lock lock(under_way_mutex_);
    if (under_way_ == 0) return false;
    batch_ended_.wait(lock, [this, ended = batches_ended_] { return batches_ended_ != ended; });
  }
  lane.share.RestTook(options_.clock() - start);
  return true;
}

void Engine::RunLoop(int number) {
  Lane& lane = lanes_[static_cast<size_t>(number)];
  lane.runner->WarmUp();
  while (std::optional<Work> work = batcher_.Next(number, lane.share.IsDue())) {
    if (work->background != nullptr) {
      work->background(number);
    } else {
      RunBatch(lane, std::move(work->batch));
    }
  }
}

void Engine::RunBatch(Lane& lane, Batch batch) {
  for (const Row& row : batch.rows) {
    const bool is_bulk = row.request->task.priority == Priority::kBulk;
    telemetry_->StageTook(is_bulk ? Telemetry::Stage::kQueueBulk : Telemetry::Stage::kQueueInteractive,
                          absl::ToDoubleSeconds(batch.assembled - row.queued));
  }
  const absl::Time start = options_.clock();
  {
    const std::lock_guard lock(under_way_mutex_);
    ++under_way_;
  }
  RunAndDeliver(*lane.runner, std::move(batch));
  {
    const std::lock_guard lock(under_way_mutex_);
    --under_way_;
    ++batches_ended_;
  }
  batch_ended_.notify_all();
  lane.share.RestTook(options_.clock() - start);
}

absl::StatusOr<Runner::Vectors> Engine::RunBesideOthers(Runner& runner, const Batch& batch) {
  absl::StatusOr<Runner::Vectors> results = [&] {
    const std::shared_lock lock(beside_others_);
    return runner.Run(batch);
  }();
  if (lanes_.size() == 1 || batch.rows.size() > 1 || !absl::IsResourceExhausted(results.status())) return results;
  const std::unique_lock lock(beside_others_);
  return runner.Run(batch);
}

void Engine::RunAndDeliver(Runner& runner, Batch batch) {
  const absl::Time start = options_.clock();
  auto results = RunBesideOthers(runner, batch);
  const absl::Duration forward = options_.clock() - start;
  if (results.ok()) {
    last_batch_micros_ = absl::ToUnixMicros(options_.clock());
    telemetry_->BatchRan(batch.packed.rows(), batch.packed.tokens());
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      const Row& row = batch.rows[i];
      if (!row.cache_key.empty()) {
        cache_->Insert(row.cache_key, row.request->slots,
                       {(*results)[i], static_cast<int>(row.tokens()), row.truncated});
      }
      row.request->Deliver(row.text, std::move((*results)[i]), start - row.queued, forward);
    }
  } else if (batch.rows.size() == 1) {
    batch.rows[0].request->Fail(Annotate(results.status(), absl::StrCat("texts[", batch.rows[0].text, "]")));
  } else {
    telemetry_->BatchSplit(absl::IsResourceExhausted(results.status()) ? "out_of_memory" : "error");
    const auto middle = batch.rows.begin() + static_cast<std::ptrdiff_t>(batch.rows.size() / 2);
    std::vector<Row> second(std::make_move_iterator(middle), std::make_move_iterator(batch.rows.end()));
    batch.rows.erase(middle, batch.rows.end());
    RunAndDeliver(runner, Assemble(std::move(batch.rows), batch.assembled));
    RunAndDeliver(runner, Assemble(std::move(second), batch.assembled));
  }
}

}  // namespace midlayer
