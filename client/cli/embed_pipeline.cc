#include "client/cli/embed_pipeline.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/interrupt.h"

namespace midlayer::cli {
namespace {

using Stream = grpc::ClientReaderWriter<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

constexpr size_t kMaxMessages = 16;
constexpr size_t kMaxBytes = size_t{16} << 20;        // of texts on the way
constexpr size_t kMaxMessageBytes = size_t{1} << 20;  // a message takes no further text from here on
constexpr std::chrono::milliseconds kPoll(kInterruptPollMs);
constexpr std::chrono::milliseconds kFeederPatience(200);

// What goes into one message.
struct Batch {
  std::vector<SourceText> texts;
  double position = 0;
  size_t bytes = 0;
  bool is_sent = false;  // false where no text is good
};

bool ReadBatch(TextSource& source, int limit, Batch* batch) {
  *batch = {};
  SourceText text;
  while (batch->texts.size() < static_cast<size_t>(limit) && batch->bytes < kMaxMessageBytes && source.Next(&text)) {
    batch->bytes += text.text.size();
    batch->is_sent |= text.status.ok();
    batch->texts.push_back(std::move(text));
    if (!source.HasMoreNow()) break;
  }
  batch->position = source.position();
  return !batch->texts.empty();
}

}  // namespace

// What both threads use. The feeder owns a share of it, as it may outlive the pipeline (see ~EmbedPipeline).
struct EmbedPipeline::Shared {
  // Constant after construction.
  v1::EmbedRequest request;
  int batch = 1;

  // The feeder's.
  std::unique_ptr<TextSource> source;

  // gRPC's own synchronisation: one thread may write while another reads.
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream;  // set after construction, before the feeder starts

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  std::deque<Batch> on_the_way;
  size_t bytes_on_the_way = 0;
  bool is_stopped = false;   // the feeder shall write no more
  bool is_writing = false;   // it is inside a call of `stream`
  bool is_read_out = false;  // no more will come on the way
  bool is_ended = false;     // the feeder touches nothing any more

  void Feed();
  bool Send(Batch batch);
  template <typename Operation>
  bool Write(std::unique_lock<std::mutex>& lock, Operation operation);
};

// Runs a write operation of the stream outside of the lock.
template <typename Operation>
bool EmbedPipeline::Shared::Write(std::unique_lock<std::mutex>& lock, Operation operation) {
  is_writing = true;
  lock.unlock();
  const bool ok = operation();
  lock.lock();
  is_writing = false;
  changed.notify_all();
  return ok;
}

bool EmbedPipeline::Shared::Send(Batch batch) {
  v1::EmbedStreamRequest message;
  *message.mutable_request() = request;
  for (const SourceText& text : batch.texts) {
    if (text.status.ok()) message.mutable_request()->add_texts(text.text);
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] {
    return is_stopped || on_the_way.empty() || (on_the_way.size() < kMaxMessages && bytes_on_the_way < kMaxBytes);
  });
  if (is_stopped) return false;
  const bool is_sent = batch.is_sent;
  bytes_on_the_way += batch.bytes;
  on_the_way.push_back(std::move(batch));
  changed.notify_all();
  return !is_sent || Write(lock, [&] { return stream->Write(message); });
}

void EmbedPipeline::Shared::Feed() {
  Batch next;
  while (ReadBatch(*source, batch, &next)) {
    if (!Send(std::move(next))) break;
  }
  std::unique_lock lock(mutex);
  if (!is_stopped) Write(lock, [this] { return stream->WritesDone(); });
  is_read_out = true;
  is_ended = true;
  changed.notify_all();
}

EmbedPipeline::EmbedPipeline(Connection* connection, const v1::EmbedRequest& request,
                             std::unique_ptr<TextSource> source, int batch)
    : connection_(connection), shared_(std::make_shared<Shared>()) {
  shared_->request = request;
  shared_->batch = batch;
  shared_->source = std::move(source);
  shared_->stream = connection_->stub().EmbedStream(&shared_->context);
  guard_.emplace(&shared_->context, connection_->options().timeout_seconds);
  feeder_ = std::thread([shared = shared_] { shared->Feed(); });
}

EmbedPipeline::~EmbedPipeline() {
  if (!is_finished_) {
    shared_->context.TryCancel();
    FinishCall();
  }
  std::unique_lock lock(shared_->mutex);
  const bool is_ended = shared_->changed.wait_for(lock, kFeederPatience, [this] { return shared_->is_ended; });
  lock.unlock();
  if (is_ended) {
    feeder_.join();
  } else {
    feeder_.detach();
  }
}

void EmbedPipeline::FinishCall() {
  is_finished_ = true;
  {
    std::unique_lock lock(shared_->mutex);
    shared_->is_stopped = true;
    shared_->changed.notify_all();
    shared_->changed.wait(lock, [this] { return !shared_->is_writing; });
  }
  status_ = connection_->Describe(shared_->stream->Finish(), *guard_);
}

std::optional<AnsweredTexts> EmbedPipeline::Next() {
  if (is_finished_) return std::nullopt;
  Shared& shared = *shared_;
  std::unique_lock lock(shared.mutex);
  while (shared.on_the_way.empty() && !shared.is_read_out && !Interrupted()) shared.changed.wait_for(lock, kPoll);
  const bool is_over = shared.on_the_way.empty();
  AnsweredTexts answered;
  const bool has_answer = is_over || shared.on_the_way.front().is_sent;
  lock.unlock();
  if (has_answer) {
    guard_->Arm();
    const bool ok = shared.stream->Read(&answered.answer);
    guard_->Disarm();
    if (!ok || is_over) {
      FinishCall();
      if (status_.ok() && (ok || !is_over)) {
        status_ =
            absl::InternalError(absl::StrCat("the server sent ", ok ? "more" : "fewer", " answers than messages"));
      }
      return std::nullopt;
    }
  }
  lock.lock();
  Batch& batch = shared.on_the_way.front();
  answered.texts = std::move(batch.texts);
  answered.position = batch.position;
  shared.bytes_on_the_way -= batch.bytes;
  shared.on_the_way.pop_front();
  shared.changed.notify_all();
  return answered;
}

}  // namespace midlayer::cli
