// One call of EmbedStream.
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "server/service/embedding_service.h"

namespace midlayer {

namespace {

// How far a stream is read ahead of its answers: enough to fill batches whether messages hold one text or hundreds.
constexpr size_t kMaxMessagesAhead = 64;
constexpr int kMaxTextsAhead = 512;

// Reads messages, has them computed side by side, and writes the answers in order. Each public On…() and each answer of
// the engine changes the state under the lock; Act() then starts whatever can go on, outside the lock, because gRPC may
// call back before a Start…() returns. Finish() is called once nothing is under way, so neither gRPC nor the engine
// ever calls into a dead reactor. Deletes itself.
class EmbedStreamReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  EmbedStreamReactor(const ServiceContext& context, grpc::CallbackServerContext* call)
      : context_(context), call_(call), tags_(TagCall(call)) {}

  void Start() { Act(std::unique_lock(mutex_)); }

  void OnReadDone(bool ok) override {
    if (ok) Submit();  // reading_ stays set meanwhile: nothing else touches input_, and nothing finishes
    std::unique_lock lock(mutex_);
    reading_ = false;
    if (!ok) input_ended_ = true;
    Act(std::move(lock));
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    texts_ahead_ -= messages_.front()->texts;
    messages_.pop_front();
    if (!ok) cancelled_ = true;
    Act(std::move(lock));
  }

  void OnCancel() override {
    std::vector<std::shared_ptr<Request>> requests;
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
      for (const auto& message : messages_) requests.push_back(message->request);
    }
    for (const auto& request : requests) {
      if (request != nullptr) request->Fail(CancelReason(*call_));
    }
    Act(std::unique_lock(mutex_));
  }

  void OnDone() override { delete this; }

 private:
  // One message on its way. Members are guarded by mutex_, but for those that Submit() sets before anybody else sees
  // it.
  struct Message {
    int texts = 0;
    AnswerFacts facts;
    absl::Time start = absl::Now();
    std::shared_ptr<Request> request;
    bool answered = false;
    grpc::ByteBuffer answer;
  };

  // Hands input_ to the engine.
  void Submit() {
    auto message = std::make_shared<Message>();
    v1::EmbedStreamRequest wire;
    absl::StatusOr<EmbedTask> task = absl::InternalError("not read");
    if (const absl::Status parsed = ParseEmbedRequest(input_, &wire); parsed.ok()) {
      message->texts = wire.request().texts_size();
      message->facts.format = wire.request().format();
      const SelectionInForce selection = context_.selections->InForce();
      message->facts.selection_id = selection.id;
      task = ToTask(std::move(*wire.mutable_request()), {*context_.model, context_.limits, selection}, Priority::kBulk);
    } else {
      task = parsed;
    }
    if (task.ok()) message->facts.outputs = task->outputs;
    {
      std::lock_guard lock(mutex_);
      messages_.push_back(message);
      texts_ahead_ += message->texts;
    }
    if (!task.ok()) return Answer(message, task.status());
    task->deadline = DeadlineOf(*call_);
    std::shared_ptr<Request> request =
        context_.engine->Embed(*std::move(task), Engine::WhenFull::kWait,
                               [this, message](absl::StatusOr<EmbedResult> result) { Answer(message, result); });
    bool cancelled = false;
    {
      std::lock_guard lock(mutex_);
      message->request = request;
      cancelled = cancelled_;
    }
    if (cancelled) request->Fail(CancelReason(*call_));
  }

  void Answer(const std::shared_ptr<Message>& message, const absl::StatusOr<EmbedResult>& result) {
    v1::EmbedStreamResponse wire;
    if (result.ok()) {
      *wire.mutable_response() = ToResponse(*result, message->facts, *context_.model);
    } else {
      const grpc::Status status = ToGrpc(result.status());
      wire.mutable_error()->set_code(status.error_code());
      wire.mutable_error()->set_message(status.error_message());
    }
    RecordEnd(context_, tags_,
              {.method = "EmbedStream",
               .status = result.status(),
               .start = message->start,
               .texts = message->texts,
               .outputs = message->facts.outputs});
    grpc::ByteBuffer bytes;
    bool own_buffer = false;
    grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::EmbedStreamResponse>(wire, &bytes, &own_buffer);
    std::unique_lock lock(mutex_);
    message->answer.Swap(&bytes);
    message->answered = true;
    message->request.reset();
    Act(std::move(lock));
  }

  // Starts what can be started. Once the lock is given up, only what was decided under it may be touched: the last call
  // may already have led to the end of this object.
  void Act(std::unique_lock<std::mutex> lock) {
    if (cancelled_) DropAnswered();
    const bool read = !reading_ && !input_ended_ && !cancelled_ && messages_.size() < kMaxMessagesAhead &&
                      texts_ahead_ < kMaxTextsAhead;
    const bool write = !writing_ && !cancelled_ && !messages_.empty() && messages_.front()->answered;
    const bool finish =
        !finished_ && !reading_ && !read && !writing_ && !write && messages_.empty() && (input_ended_ || cancelled_);
    reading_ |= read;
    writing_ |= write;
    finished_ |= finish;
    const grpc::ByteBuffer* answer = write ? &messages_.front()->answer : nullptr;
    const bool cancelled = cancelled_;
    lock.unlock();
    if (write) StartWrite(answer);
    if (read) StartRead(&input_);
    if (finish) Finish(cancelled ? ToGrpc(CancelReason(*call_)) : grpc::Status::OK);
  }

  // Nobody reads the answers of a cancelled call. The one being written stays until OnWriteDone().
  void DropAnswered() {
    auto first = messages_.begin() + (writing_ ? 1 : 0);
    messages_.erase(std::remove_if(first, messages_.end(), [](const auto& message) { return message->answered; }),
                    messages_.end());
  }

  const ServiceContext& context_;
  grpc::CallbackServerContext* const call_;
  const CallTags tags_;

  grpc::ByteBuffer input_;  // belongs to whoever set reading_

  std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<std::shared_ptr<Message>> messages_;  // in the order of the answers
  int texts_ahead_ = 0;                            // of messages_
  bool reading_ = false;
  bool writing_ = false;
  bool input_ended_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* NewEmbedStreamReactor(const ServiceContext& context,
                                                                                   grpc::CallbackServerContext* call) {
  const auto caller = context.callers->Authorize(*call, Callers::Right::kUse);
  if (!caller.ok()) return NewRefusal(context, call, "EmbedStream", caller.status());
  auto* reactor = new EmbedStreamReactor(context, call);
  reactor->Start();
  return reactor;
}

}  // namespace midlayer
