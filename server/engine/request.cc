#include "server/engine/request.h"

#include <algorithm>
#include <utility>

namespace midlayer {

Request::Request(EmbedTask embed_task, absl::Time start_time, Done done)
    : task(std::move(embed_task)),
      slots(SlotsOf(task.outputs)),
      last_layer(DeepestLayer(slots)),
      start(start_time),
      done_(std::move(done)),
      to_tokenize_(task.texts.size()),
      to_deliver_(task.texts.size()) {
  result_.texts.resize(task.texts.size());
}

bool Request::Ended() const {
  std::lock_guard lock(mutex_);
  return done_ == nullptr;
}

void Request::Fail(absl::Status status) { End(std::move(status)); }

void Request::SetTokens(size_t text, int tokens, bool truncated) {
  std::lock_guard lock(mutex_);
  result_.texts[text].tokens = tokens;
  result_.texts[text].truncated = truncated;
}

bool Request::Tokenized(size_t texts, absl::Time now) {
  std::lock_guard lock(mutex_);
  result_.timing.tokenize = now - start;
  to_tokenize_ -= texts;
  return to_tokenize_ == 0;
}

void Request::Deliver(size_t text, std::vector<std::vector<float>> pooled, absl::Duration queue,
                      absl::Duration forward) {
  std::vector<std::vector<float>> vectors;
  size_t first = 0;
  for (const OutputSpec& output : task.outputs) {
    vectors.push_back(FinishVector(output, absl::MakeConstSpan(pooled).subspan(first, output.layers.size())));
    first += output.layers.size();
  }
  EmbedResult result;
  {
    std::lock_guard lock(mutex_);
    if (done_ == nullptr) return;
    result_.texts[text].vectors = std::move(vectors);
    result_.timing.queue = std::max(result_.timing.queue, queue);
    result_.timing.forward = std::max(result_.timing.forward, forward);
    if (--to_deliver_ > 0) return;
    result = std::move(result_);
  }
  End(std::move(result));
}

void Request::Hold(std::shared_ptr<void> permit) {
  std::lock_guard lock(mutex_);
  if (done_ != nullptr) permit_.swap(permit);
}

void Request::End(absl::StatusOr<EmbedResult> result) {
  Done done;
  std::shared_ptr<void> permit;
  {
    std::lock_guard lock(mutex_);
    done = std::exchange(done_, nullptr);
    permit.swap(permit_);
  }
  permit.reset();  // before the answer: who has it may send the next request
  if (done != nullptr) done(std::move(result));
}

}  // namespace midlayer
